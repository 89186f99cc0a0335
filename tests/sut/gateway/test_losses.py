"""The mark behind RESYNC: moves when notifications may have been lost, keeps still when they cannot have been."""

from sut.gateway.losses import Losses


def whole(now_s: float = 0.0) -> Losses:
    """Both sequencers linked, lease held for 6 s."""
    losses = Losses(["sequencer-1", "sequencer-2"])
    losses.linked("sequencer-1")
    losses.linked("sequencer-2")
    losses.lease_renewed(asked_s=now_s, ttl_s=6.0)
    return losses


def moves(losses: Losses) -> bool:
    """Whether two looks at the same time differ: something may be getting lost right now."""
    return losses.mark() != losses.mark()


def test_it_keeps_still_while_all_is_well():
    losses = whole()
    assert losses.whole(1.0)
    assert not moves(losses)


def test_a_lease_counts_from_when_it_was_asked_for_and_does_not_move_the_mark():
    losses = whole()
    mark = losses.mark()
    losses.lease_renewed(asked_s=2.0, ttl_s=6.0)
    assert losses.whole(8.0)
    assert not losses.whole(8.1)
    assert losses.mark() == mark


def test_it_moves_as_long_as_a_sequencer_is_not_linked():
    losses = whole()
    losses.unlinked("sequencer-2")
    assert not losses.whole(1.0)
    assert moves(losses)
    mark = losses.mark()
    losses.linked("sequencer-2")
    assert losses.mark() != mark
    assert not moves(losses)


def test_a_restarted_sequencer_may_be_back_before_its_old_link_is_gone():
    losses = whole()
    mark = losses.mark()
    losses.linked("sequencer-1")
    losses.unlinked("sequencer-1")
    assert losses.mark() != mark
    assert not moves(losses)


def test_links_of_others_mean_nothing():
    losses = whole()
    mark = losses.mark()
    for node in ("probe", "api-1", "sequencer-9"):
        losses.linked(node)
        losses.unlinked(node)
    assert losses.mark() == mark


def test_a_note_moves_it_once():
    losses = whole()
    mark = losses.mark()
    losses.note()
    assert losses.mark() != mark
    assert not moves(losses)
