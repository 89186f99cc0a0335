"""Edits, deletions and reactions: by whom, where they are seen, and what they excuse."""

from tests.chaos.verdict.book import Book, ns
from tests.chaos.verdict.cases.registry import bad, good, talk, unknown


def upon(book: Book, t: float, who: str, event: str, of: str, seq: int, **more: object) -> Book:
    book.add(event, t, device=f"{who}-1", conv="room", of=of, seq=seq, **more)
    book.seqs["room"] = max(seq, book.seqs["room"])
    return book


def edited(t: float = 5) -> Book:
    return upon(talk(), t, "ann", "edit", "hello", 4, hash="#hello, all")


def show_the_edit(book: Book, *people: str) -> Book:
    for line in book.lines:
        if line["e"] == "final" and line["msg"] == "hello" and line["device"] in [f"{person}-1" for person in people]:
            line["hash"] = "#hello, all"
    return book


@good
def edited_and_seen_by_all() -> Book:
    return show_the_edit(edited().read_back(60), "ann", "bob", "cid")


@good
def edited_and_kept_beside_the_message() -> Book:
    return edited().read_back(60)


@bad()
def gaps_forks__edited_and_seen_by_some_only() -> Book:
    return show_the_edit(edited().read_back(60), "ann", "bob")


@good
def edited_just_before_all_was_read_back() -> Book:
    return show_the_edit(edited(55).read_back(60), "ann", "bob")


@good
def edited_after_the_removal_of_one() -> Book:
    book = talk()
    book.member(4, "cid", "remove", seq=4)
    upon(book, 5, "ann", "edit", "hello", 5, hash="#hello, all")
    return show_the_edit(book.read_back(60), "ann", "bob")


@bad()
def gaps_forks__one_number_two_edits() -> Book:
    book = upon(talk(), 5, "ann", "edit", "hello", 4, hash="#hello, all")
    return upon(book, 5.1, "bob", "edit", "hello", 4, hash="#hello, you").read_back(60)


@unknown()
def clocks__seen_as_edited_before_the_edit() -> Book:
    book = edited(30)
    for line in book.lines:
        if line["e"] == "show" and line["device"] == "bob-1" and line["msg"] == "hello":
            line["hash"] = "#hello, all"
    return book.read_back(60)


@unknown()
def clocks__edited_before_it_was_sent() -> Book:
    return edited(0.5).read_back(60)


@bad()
def leaks__an_edit_of_who_was_removed() -> Book:
    book = talk()
    book.member(4, "bob", "remove", seq=4)
    return upon(book, 5, "bob", "edit", "hi", 5, hash="#no").read_back(60)


@bad()
def leaks__a_deletion_by_an_outsider() -> Book:
    book = upon(talk(Book(outsiders=("eve",))), 5, "eve", "delete", "hi", 4)
    return book.read_back(60, lacking=dict.fromkeys(book.people, ("hi",)))


@bad()
def leaks__a_reaction_of_an_outsider() -> Book:
    return upon(talk(Book(outsiders=("eve",))), 5, "eve", "reaction", "hi", 4).read_back(60)


def deleted(t: float, book: Book | None = None) -> Book:
    """Said at 5, not shown by cid, and deleted at `t`."""
    book = talk(book)
    book.say(5, "ann", "oops", to=("bob",))
    return upon(book, t, "ann", "delete", "oops", 5).read_back(60, lacking=dict.fromkeys(book.people, ("oops",)))


@good
def deleted_before_it_had_to_be_shown() -> Book:
    return deleted(20)


@bad()
def liveness__deleted_long_after_it_had_to_be_shown() -> Book:
    return deleted(50)


def missed(t: float, *, back: float | None = None) -> Book:
    """Said at 1, while cid is away until `back`, and deleted at `t`."""
    book = Book()
    book.add("meta", 0, push=True)
    book.add("offline", 0.5, device="cid-1")
    book.say(1, "ann", "oops", to=("bob",))
    if back is not None:
        book.add("push", 2, device="cid-1", conv="room", seq=1)
        book.add("online", back, device="cid-1")
    return upon(book, t, "ann", "delete", "oops", 2).read_back(60, lacking=dict.fromkeys(book.people, ("oops",)))


@good
def deleted_before_the_push_was_due() -> Book:
    return missed(3)


@bad()
def push__deleted_long_after_it_was_due() -> Book:
    return missed(40)


@bad("liveness")
def catch_up__deleted_long_after_coming_back() -> Book:
    return missed(50, back=5)


@good
def deleted_soon_after_coming_back() -> Book:
    return missed(10, back=5)


@bad()
def receipts__of_a_number_that_does_not_exist() -> Book:
    book = reported()
    book.add("receipt", 5, device="ann-1", conv="room", seq=9, kind="read", by="bob")
    return book.read_back(60)


@good
def receipts_up_to_a_reaction() -> Book:
    book = upon(reported(), 5, "bob", "reaction", "news", 4)
    book.add("receipt", 6, device="ann-1", conv="room", seq=4, kind="read", by="bob")
    return book.read_back(60)


@bad()
def receipts__of_who_was_removed_before() -> Book:
    return removed(5)


@good
def receipts_up_to_the_own_removal() -> Book:
    return removed(4)


def reported(meta: dict[str, object] | None = None, *, at: float = 4) -> Book:
    """Everything is reported by everybody."""
    book = talk()
    if meta is not None:
        book.add("meta", 0, **meta)
    for author, seq in (("ann", 3), ("bob", 2)):
        for reader in sorted({"ann", "bob", "cid"} - {author}):
            book.add("receipt", at, device=f"{author}-1", conv="room", seq=seq, kind="read", by=reader)
    return book


def removed(seq: int) -> Book:
    """Cid is removed by number 4, and has read up to `seq`."""
    book = reported()
    book.member(5, "cid", "remove", seq=4)
    book.say(6, "ann", "among us", to=("bob",))
    for reader, at in (("bob", 5), ("cid", seq)):
        book.add("receipt", 7, device="ann-1", conv="room", seq=at, kind="read", by=reader)
    return book.read_back(60, lacking={"cid": ("among us",)})


@good
def receipts_before_the_display_within_the_stated_error_of_clocks() -> Book:
    book = reported({"bounds": {"clock_error_ms": 500}}, at=3)
    return book.read_back(60)


@bad()
def receipts__before_the_display_beyond_the_stated_error_of_clocks() -> Book:
    book = reported({"bounds": {"clock_error_ms": 500}}, at=3)
    for line in book.lines:
        if line["e"] == "receipt":
            line["t"] = ns(2.54)
    return book.read_back(60)


@bad()
def receipts__of_nobody_that_is_known() -> Book:
    book = reported()
    book.add("receipt", 5, device="ann-1", conv="room", seq=3, kind="read", by="mallory")
    return book.read_back(60)


def numbered(by: object) -> Book:
    """Cid is called 3, and reads as `by`."""
    book = reported().read_back(60)
    for line in book.lines:
        for name, value in (("user", 3), ("by", by)):
            if line.get(name) == "cid":
                line[name] = value
    return book


@good
def receipts_of_a_user_with_a_number() -> Book:
    return numbered(3)


@unknown("receipts")
def vacuity__receipts_of_a_user_whose_number_is_text() -> Book:
    return numbered("3")
