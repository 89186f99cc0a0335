"""Known bad: clients name what they had seen of other conversations, and do not wait for what others name.

This one is in the devices. Whoever comes back fetches several conversations at once, and one of them may be here, the
answer, while the other with its question is on its way. Order within each conversation is kept.
"""


def ignores_dependencies() -> bool:
    """Whether the devices show a message at once, whatever it names."""
    return True
