"""What an operator can set."""

from __future__ import annotations

from pathlib import PurePath

from storagebus.drivers.parameters import REQUIRED, Parameter, text, whole

SEALKEY_BYTES_MAX = 64


def _absolute_path(value: object) -> str:
    path = text(value)
    if not PurePath(path).is_absolute():
        raise ValueError("must be an absolute path")
    return path


def _sealkey(value: object) -> bytes:
    key = text(value).encode()
    if len(key) > SEALKEY_BYTES_MAX:
        raise ValueError(f"must be {SEALKEY_BYTES_MAX} bytes at most")
    return key


PARAMETERS = (
    Parameter(
        "database",
        _absolute_path,
        default=REQUIRED,
        public=True,
        help="Absolute path of the SQLite file, on a local disk.",
    ),
    Parameter(
        "busyseconds",
        whole(1, 60),
        default=10,
        public=True,
        help="Seconds that a call waits for other processes' writes.",
    ),
    # Not public: its value is never shown, nor put on a command line.
    Parameter(
        "sealkey",
        _sealkey,
        default=b"",
        help="Secret with which every piece of content is sealed against changes.",
    ),
)
