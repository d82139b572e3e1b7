"""Bytes of downloads that have ended, and that their clients may not have read yet.

Pure. While a download is open its client reports what has arrived (`budget`); after
its end nobody does, though ZeroMQ may still hold the last of it. A fence tells: a PING
behind these bytes, since whoever answers it has read what came before. A client that
leaves too much unread is granted nothing for new downloads until it answers.
"""

from __future__ import annotations

from .sessions import Peer

CLIENT_BYTES_MAX = 1_048_576
"""What one client may leave unread while there is room for it."""
FENCE_BYTES = 65_536
"""A fence follows when this much may be unread; sooner when room is short."""


class _Account:
    """What one client may not have read.

    Attributes:
        bytes: all of it.
        fenced: the part in front of the fence.
        token: of the fence that has not been answered; 0 without one.
    """

    __slots__ = ("bytes", "fenced", "token")

    def __init__(self) -> None:
        self.bytes = 0
        self.fenced = 0
        self.token = 0


class Unread:
    """The accounts of all clients, by connection: a new session does not empty it.

    Args:
        floor_bytes: what each client may leave unread however little room there is.
        pool_bytes: what all together may, before that is all that each may.

    Attributes:
        bytes: all that may be unread.
    """

    def __init__(self, floor_bytes: int, pool_bytes: int) -> None:
        self.floor_bytes = floor_bytes
        self.pool_bytes = pool_bytes
        self.bytes = 0
        self._accounts: dict[Peer, _Account] = {}

    def add(self, peer: Peer, count: int) -> None:
        """A download has ended with `count` bytes that were not reported received."""
        if count > 0:
            self._accounts.setdefault(peer, _Account()).bytes += count
            self.bytes += count

    def excessive(self, peer: Peer) -> bool:
        """Whether the client has left so much unread that it is granted nothing."""
        account = self._accounts.get(peer)
        if account is None or account.bytes <= self.floor_bytes:
            return False
        return account.bytes > CLIENT_BYTES_MAX or self.bytes > self.pool_bytes

    def fence_due(self, peer: Peer) -> bool:
        """Whether a fence should be sent now."""
        account = self._accounts.get(peer)
        if account is None or account.token:
            return False
        return account.bytes >= FENCE_BYTES or 2 * self.bytes > self.pool_bytes

    def fence(self, peer: Peer, token: int) -> None:
        """A fence is being sent; `token`, not 0, is what its PONG will carry."""
        account = self._accounts[peer]
        account.token = token
        account.fenced = account.bytes

    def answered(self, peer: Peer, token: int) -> bool:
        """A PONG came; True when it was a fence's, so that there may be room again."""
        account = self._accounts.get(peer)
        if account is None or token != account.token or not token:
            return False
        account.bytes -= account.fenced
        self.bytes -= account.fenced
        account.fenced = account.token = 0
        if not account.bytes:
            del self._accounts[peer]
        return True

    def regreeted(self, peer: Peer) -> None:
        """A new session on the same connection: it will not answer the old fence."""
        account = self._accounts.get(peer)
        if account is not None:
            account.fenced = account.token = 0

    def forget(self, peer: Peer) -> None:
        """The connection is gone, and with it what ZeroMQ held for it."""
        account = self._accounts.pop(peer, None)
        if account is not None:
            self.bytes -= account.bytes

    def peers(self) -> list[Peer]:
        """Who has an account."""
        return list(self._accounts)
