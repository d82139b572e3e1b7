"""broker/unread.py against a twin that keeps every ended stream in a list."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from storagebus.broker.sessions import Door, Peer
from storagebus.broker.unread import CLIENT_BYTES_MAX, FENCE_BYTES, Unread

FLOOR, POOL = 10, 100
PEERS = [Peer(Door.CLIENTS, name) for name in (b"a", b"b", b"c")]
peers = st.sampled_from(PEERS)


class Accounts(RuleBasedStateMachine):
    """The twin: of each peer, the bytes and fences in the order in which they went."""

    def __init__(self) -> None:
        super().__init__()
        self.unread = Unread(FLOOR, POOL)
        self.sent: dict[Peer, list[tuple[str, int]]] = {peer: [] for peer in PEERS}
        self.token = 16

    def bytes_of(self, peer: Peer) -> int:
        return sum(count for kind, count in self.sent[peer] if kind == "bytes")

    @rule(peer=peers, count=st.integers(0, 60))
    def end(self, peer: Peer, count: int) -> None:
        self.unread.add(peer, count)
        if count:
            self.sent[peer].append(("bytes", count))

    @rule(peer=peers)
    def fence(self, peer: Peer) -> None:
        if self.unread.fence_due(peer):
            self.token += 1
            self.unread.fence(peer, self.token)
            self.sent[peer].append(("fence", self.token))

    @rule(peer=peers)
    def answer(self, peer: Peer) -> None:
        fences = [i for i, (kind, _) in enumerate(self.sent[peer]) if kind == "fence"]
        if not fences:
            assert not self.unread.answered(peer, 0)
            return
        assert not self.unread.answered(peer, 1)  # a PONG for another PING
        at = fences[-1]
        assert self.unread.answered(peer, self.sent[peer][at][1])
        assert not self.unread.answered(peer, self.sent[peer][at][1])
        del self.sent[peer][: at + 1]

    @rule(peer=peers)
    def greet_again(self, peer: Peer) -> None:
        self.unread.regreeted(peer)
        self.sent[peer] = [e for e in self.sent[peer] if e[0] == "bytes"]

    @rule(peer=peers)
    def leave(self, peer: Peer) -> None:
        self.unread.forget(peer)
        self.sent[peer].clear()

    @invariant()
    def same(self) -> None:
        total = sum(self.bytes_of(peer) for peer in PEERS)
        assert self.unread.bytes == total
        for peer in PEERS:
            own = self.bytes_of(peer)
            # Room is short here long before a client has its most.
            assert self.unread.excessive(peer) == (own > FLOOR and total > POOL)
            assert (peer in self.unread.peers()) == bool(own)
            if self.unread.excessive(peer):
                waits = any(kind == "fence" for kind, _ in self.sent[peer])
                assert waits or self.unread.fence_due(peer)  # it will be released


TestAccounts = Accounts.TestCase
TestAccounts.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None
)


def test_with_room_for_all_a_fence_is_rare() -> None:
    unread = Unread(16_384, 1 << 30)
    peer = PEERS[0]
    unread.add(peer, FENCE_BYTES - 1)
    assert not unread.fence_due(peer)
    unread.add(peer, 1)
    assert unread.fence_due(peer)
    unread.fence(peer, 16)
    unread.add(peer, CLIENT_BYTES_MAX)
    assert not unread.fence_due(peer)  # one at a time
    assert unread.excessive(peer)
    assert unread.answered(peer, 16)
    assert unread.bytes == CLIENT_BYTES_MAX
    assert not unread.excessive(peer)
