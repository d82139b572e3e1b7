"""Addresses of a broker's doors: what is allowed, said before ZeroMQ says less."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from ..drivers.errors import InvalidParameterError

IPC_PATH_BYTES_MAX = 107
"""sun_path of a Unix socket holds 108 bytes with its final zero (unix(7))."""
ADDRESSES_MAX = 16
_TCP = re.compile(r"tcp://(\[[0-9A-Fa-f:.%a-z]+\]|[A-Za-z0-9._*-]+):(\d{1,5}|\*)")


def check_address(address: object, *, bind: bool = False) -> str:
    """Return the address if a door can be bound or reached at it.

    Args:
        address: "ipc:///absolute/path" or "tcp://host:port".
        bind: whether it is to be bound, where host "*" stands for all interfaces, and
            port 0 or "*" picks a free one.

    Raises:
        InvalidParameterError: says what is wrong with it.
    """
    if not isinstance(address, str):
        raise InvalidParameterError(
            f"an endpoint is a string, not {type(address).__name__}"
        )
    if address.startswith("ipc://"):
        path = address.removeprefix("ipc://")
        if not path.startswith("/"):
            raise InvalidParameterError(
                f"endpoint {address!r}: an ipc endpoint needs an absolute path, "
                "as in ipc:///run/storagebus/clients"
            )
        if not path.isprintable():
            raise InvalidParameterError(
                f"endpoint {address!r}: a path without control characters is needed"
            )
        if len(path.encode()) > IPC_PATH_BYTES_MAX:
            raise InvalidParameterError(
                f"endpoint {address!r}: a Unix socket's path has at most "
                f"{IPC_PATH_BYTES_MAX} bytes; choose a shorter directory"
            )
        return address
    match = _TCP.fullmatch(address)
    if match is None:
        raise InvalidParameterError(
            f"endpoint {address!r}: use ipc:///path or tcp://host:port"
        )
    host, port = match.groups()
    if host == "*" and not bind:
        raise InvalidParameterError(
            f"endpoint {address!r}: a host is needed; * stands for all that a broker "
            "listens on, as tcp://0.0.0.0 does"
        )
    if port == "*" or int(port) == 0:
        if not bind:
            raise InvalidParameterError(f"endpoint {address!r}: a port is needed")
    elif int(port) > 65_535:
        raise InvalidParameterError(f"endpoint {address!r}: no such port")
    return address


def check_addresses(given: object, *, bind: bool = False) -> tuple[str, ...]:
    """Addresses, in a list or in a string with commas between them, as a tuple without
    repetitions.

    Raises:
        InvalidParameterError: none, too many, or one that is wrong.
    """
    listed = given
    if isinstance(given, str):
        parts = [part.strip() for part in given.split(",")]
        listed = [part for part in parts if part] or [given]
    if not isinstance(listed, Sequence) or not 0 < len(listed) <= ADDRESSES_MAX:
        raise InvalidParameterError(
            f"endpoint: one address, or a list of 1 to {ADDRESSES_MAX}"
        )
    return tuple(dict.fromkeys(check_address(item, bind=bind) for item in listed))


def is_local(address: str) -> bool:
    """Whether only this host can reach the address."""
    if address.startswith("ipc://"):
        return True
    match = _TCP.fullmatch(address)
    if match is None:
        return False
    host = match.group(1).strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
