"""Local names inside the path grammar, and back: a reversible escape.

A local file may be called anything; a path component only holds ``A-Z a-z 0-9 . _ -``.
Each run of other bytes becomes ``_x``, the bytes in hexadecimal, ``_``:

    my file.txt     my_x20_file.txt
    Zoë             Zo_xc3ab_
    _x20_           _x5f_x20_

A ``_`` in front of an ``x`` is escaped too, and so are the names ``.`` and ``..``.
Therefore every name has exactly one encoding, no two names share one, and names that
need no escape stay as they are.
"""

from __future__ import annotations

import os
import re

from ..drivers.errors import InvalidPathError

_FOREIGN = re.compile(rb"(?:[^A-Za-z0-9._-]|_(?=x))+|\A\.{1,2}\Z|\A\Z", re.DOTALL)
_ESCAPE = re.compile(r"_x((?:[0-9a-f]{2})*)_")


def encode_name(name: bytes | str) -> str:
    """The path component that stands for a local name.

    Args:
        name: one name of the file system, any bytes; a string is taken as Python gives
            it out (`os.fsencode`).
    """
    raw = os.fsencode(name)
    return _FOREIGN.sub(lambda run: b"_x%s_" % run[0].hex().encode(), raw).decode()


def decode_name(name: str) -> bytes:
    """The local name that a path component stands for; the reverse of `encode_name`.

    Args:
        name: a path component.

    Raises:
        InvalidPathError: no local name has this encoding, so that decoding it could
            make two objects one file.
    """
    try:
        text = name.encode("ascii")
    except UnicodeEncodeError:
        raise InvalidPathError("not an encoded name", path=name) from None
    decoded = re.sub(
        _ESCAPE.pattern.encode(),
        lambda escape: bytes.fromhex(escape[1].decode()),
        text,
    )
    if encode_name(decoded) != name:
        raise InvalidPathError("not an encoded name", path=name)
    return decoded
