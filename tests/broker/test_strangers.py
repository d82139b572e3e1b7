"""broker/strangers.py: told, but not every time."""

from __future__ import annotations

from storagebus.broker.sessions import Door, Peer
from storagebus.broker.strangers import PAUSE_S, STRANGERS_MAX, Strangers


def peer(number: int) -> Peer:
    return Peer(Door.CLIENTS, number.to_bytes(4, "big"))


def test_once_in_a_while() -> None:
    strangers = Strangers()
    told = [at / 10 for at in range(35) if strangers.may_tell(peer(1), at / 10)]
    assert told == [0.0, PAUSE_S, 2 * PAUSE_S, 3 * PAUSE_S]


def test_each_for_itself() -> None:
    strangers = Strangers()
    assert all(strangers.may_tell(peer(number), 0.0) for number in range(50))
    assert not any(strangers.may_tell(peer(number), 0.5) for number in range(50))


def test_memory_is_bounded() -> None:
    strangers = Strangers()
    for number in range(3 * STRANGERS_MAX):
        strangers.may_tell(peer(number), 0.0)
    assert len(strangers._told) == STRANGERS_MAX
    assert not strangers.may_tell(peer(3 * STRANGERS_MAX - 1), 0.5)
    assert strangers.may_tell(peer(0), 0.5)  # forgotten, so told once more
