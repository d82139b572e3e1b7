"""client/suspects.py: calls that had better go by the bus."""

from __future__ import annotations

from storagebus.client.suspects import SUSPECT_S_MAX, SUSPECTS_MAX, Suspects


def test_a_suspect_is_one_until_it_is_cleared() -> None:
    suspects = Suspects()
    assert not suspects
    suspects.add((1, "/a"), 10.0)
    assert suspects.has((1, "/a"), 11.0)
    assert not suspects.has((2, "/a"), 11.0)
    assert not suspects.has((1, "/b"), 11.0)
    suspects.clear((1, "/a"))
    suspects.clear((1, "/a"))
    assert not suspects.has((1, "/a"), 11.0)
    assert not suspects


def test_it_is_forgotten_after_a_while() -> None:
    suspects = Suspects()
    suspects.add((1, "/a"), 10.0)
    assert suspects.has((1, "/a"), 10.0 + SUSPECT_S_MAX - 1)
    assert not suspects.has((1, "/a"), 10.0 + SUSPECT_S_MAX)


def test_there_are_only_so_many() -> None:
    suspects = Suspects()
    for number in range(SUSPECTS_MAX + 10):
        suspects.add((1, f"/{number}"), float(number))
    assert len(suspects) == SUSPECTS_MAX
    assert not suspects.has((1, "/9"), 10.0)
    assert suspects.has((1, "/10"), 10.0)
