"""Histories made after public reports of faults of other systems, kept as they came, and what each must be judged."""

REPORTED: dict[str, dict[str, str]] = {
    "a_member_is_refused_for_ever": {"answers": "invalid"},
    "acks_ninety_seconds_late": {"answers": "invalid"},
    "answered_before_asked": {"clocks": "unknown"},
    "device_never_online_gets_no_push": {"push": "invalid"},
    "due_after_the_send": {"clocks": "unknown"},
    "due_an_hour_ahead": {"clocks": "unknown", "latency": "unknown"},
    "eighty_seconds_late_in_calm": {"liveness": "invalid"},
    "escape_in_an_id": {"acked_lost": "invalid", "gaps_forks": "invalid", "session": "invalid"},
    "misspelled_kind": {"liveness": "unknown"},
    "never_answered_and_nowhere": {"answers": "invalid"},
    "number_and_text": {"acked_lost": "unknown", "leaks": "unknown", "vacuity": "unknown"},
    "one_message_sent_with_two_contents": {"phantoms": "invalid"},
    "receipt_of_a_user_excused_by_a_device_of_the_same_number": {"receipts": "invalid"},
    "receipts_stop_after_the_first": {"receipts": "invalid"},
    "removal_with_number_0": {"gaps_forks": "invalid"},
    "two_membership_changes_with_one_number": {"gaps_forks": "invalid"},
    "unacked_message_of_a_removed_member_is_shown": {"leaks": "invalid"},
}
"""By name, in histories/reported: the checks that are not valid."""
