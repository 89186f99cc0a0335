"""The bench of a lean fleet: everything that it counts happens as often as it says."""

from load.bench.fleet import measure


def test_each_phase_happens_and_is_counted() -> None:
    found = measure(40, 100.0, 0.2, heartbeat_s=0.5, settle_s=0.9)
    counts = found.pop("counts")
    assert counts == {"online": 40, "shown": 40, "acked": 20, "receipts": 20, "drops": 0, "violations": 0} | {
        "recv": counts["recv"]
    }
    assert 20 < counts["recv"] <= 100
    assert set(found) == {"connect", "beat", "resync", "message", "notify", "receipt", "send"}
    assert all(us > 0 for name, us in found.items() if name in ("connect", "beat"))
