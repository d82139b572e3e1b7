"""The checks of arguments, which `checked` makes for every driver, and the asynchronous
client for itself."""

from __future__ import annotations

from collections.abc import Mapping

from .errors import (
    InvalidOffsetError,
    InvalidParameterError,
    InvalidPathError,
)
from .paths import PATH_BYTES_MAX, ROOT

UPLOAD_ID_CHARACTERS_MAX = 256
EXPIRES_SECONDS_MAX = 7 * 24 * 3600

Buffer = bytes | bytearray | memoryview


def check_bytes(data: object) -> Buffer:
    """Content: bytes, or something that holds bytes."""
    if isinstance(data, (bytes, bytearray)):
        return data
    if isinstance(data, memoryview):
        # Of any other shape, len(data) is not the number of bytes.
        plain = data.format == "B" and data.ndim == 1 and data.contiguous
        return data if plain else data.tobytes()
    raise InvalidParameterError(f"content is bytes, not {type(data).__name__}")


def check_offset(path: str, value: object, what: str) -> None:
    """An offset or length."""
    if type(value) is not int:
        raise InvalidOffsetError(f"{what} must be a whole number", path=str(path))
    if value < 0:
        raise InvalidOffsetError(f"{what} is negative", path=str(path), offset=value)


def check_flag(path: str, value: object, what: str) -> None:
    """A boolean, and nothing that merely counts as one."""
    if not isinstance(value, bool):
        raise InvalidParameterError(f"{what} must be True or False", path=path)


def check_expires(expires: object) -> None:
    """The life of a URL, in seconds."""
    if isinstance(expires, bool) or not isinstance(expires, int):
        raise InvalidParameterError("expires must be a number of seconds")
    if not 1 <= expires <= EXPIRES_SECONDS_MAX:
        raise InvalidParameterError(
            f"expires must be from 1 to {EXPIRES_SECONDS_MAX} seconds"
        )


def check_upload_id(upload_id: object) -> str:
    """The name of an upload."""
    if (
        isinstance(upload_id, str)
        and upload_id.isascii()
        and 0 < len(upload_id) <= UPLOAD_ID_CHARACTERS_MAX
    ):
        return upload_id
    raise InvalidParameterError(
        f"upload_id is 1 to {UPLOAD_ID_CHARACTERS_MAX} ASCII characters"
    )


def check_identity(path: str, identity: object) -> None:
    """The identity that an object must have."""
    if not isinstance(identity, str):
        raise InvalidParameterError("if_match is a string", path=path)


def check_start_after(key: object) -> str:
    """Where a walk goes on."""
    if not isinstance(key, str) or not key.startswith(ROOT):
        raise InvalidPathError("start_after is a path", path=str(key))
    if len(key) > PATH_BYTES_MAX:
        raise InvalidPathError(f"start_after is longer than {PATH_BYTES_MAX} bytes")
    return key


def check_parameters(parameters: object) -> Mapping[str, object]:
    """Parameters are a map with string keys.

    Raises:
        InvalidParameterError: they are not.
    """
    if not isinstance(parameters, Mapping) or not all(
        isinstance(name, str) for name in parameters
    ):
        raise InvalidParameterError("parameters are a map from names to values")
    return parameters
