"""Lanes on one host, as both ends of a stream know them (PROTOCOL.md section 9.1).

Role-neutral: who is on this host, where a worker's side socket may be, and how one
packet with a descriptor passes it.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import struct
import sys
from pathlib import Path

STEP_S_MAX = 2.0
"""How long either side may take for its part at the side socket."""
ADDRESS_PREFIX = "@storagebus-lane-"
WORD = b"L"
"""What a packet says beside the descriptor that it carries, or that one is taken."""
_ADDRESS = re.compile(f"{ADDRESS_PREFIX}[0-9a-f]{{32}}")
_CREDENTIALS = struct.Struct("3i")
_MARK_DIGITS = 32


class Descriptor:
    """A descriptor that is closed at the latest when nobody refers to it any more.

    Args:
        fd: its number, or -1 for none.
    """

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        """Its number; -1 when it is closed."""
        return self._fd

    def close(self) -> None:
        """Close it. Harmless when repeated."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


def is_possible() -> bool:
    """Whether this system has what lanes are made of."""
    return sys.platform == "linux" and hasattr(os, "memfd_create")


def host_mark() -> str:
    """Equal for processes between which a lane can work; "" where none can."""
    if not is_possible():
        return ""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().rstrip("\n")
        net, user = (
            Path(f"/proc/self/ns/{name}").stat().st_ino for name in ("net", "user")
        )
    except OSError:
        return ""
    text = f"{boot}/{net}/{user}/{os.geteuid()}"
    return hashlib.sha256(text.encode()).hexdigest()[:_MARK_DIGITS]


def new_address() -> str:
    """Where a worker listens: a name that nobody has yet."""
    return ADDRESS_PREFIX + os.urandom(16).hex()


def abstract_name(address: str) -> bytes | None:
    """The name to bind or connect, or None for what is no address of a lane."""
    if not _ADDRESS.fullmatch(address):
        return None
    return b"\0" + address.removeprefix("@").encode()


def is_own_user(other: socket.socket) -> bool:
    """Whether the process at the other end of a Unix socket is this user's."""
    told = other.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(told)
    return bool(uid == os.geteuid())
