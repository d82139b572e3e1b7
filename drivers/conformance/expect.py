"""What a check expects, and the failures that say what came instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import CODES, Executed, StorageError

SHOWN_CHARACTERS_MAX = 160
SHOWN_BYTES = 8

_Error = TypeVar("_Error", bound=StorageError)


class Failure(Exception):
    """The driver does not do what a requirement says."""


def that(condition: bool, text: str) -> None:
    """Fail with `text` unless the condition holds."""
    if not condition:
        raise Failure(text)


def equal(got: object, expected: object, what: str) -> None:
    """Fail unless both are equal."""
    if got != expected:
        raise Failure(f"{what}: expected {shown(expected)}, got {shown(got)}")


def content(got: object, expected: bytes, what: str, *, offset: int = 0) -> None:
    """Fail unless both are the same bytes; the failure names the first that differs.

    Args:
        got: what was read.
        expected: what should have been.
        what: what was read, for the failure.
        offset: where in the object these bytes start.
    """
    if not isinstance(got, bytes):
        raise Failure(f"{what}: expected bytes, got {type(got).__name__}")
    if got == expected:
        return
    at = first_difference(got, expected)
    if at == min(len(got), len(expected)):
        raise Failure(
            f"{what}: expected {len(expected)} bytes from offset {offset}, "
            f"got {len(got)}"
        )
    wanted, came = (piece[at : at + SHOWN_BYTES] for piece in (expected, got))
    text = (
        f"{what}: differs from byte {offset + at} on: "
        f"expected {wanted.hex()}, got {came.hex()}"
    )
    elsewhere = expected.find(came) if len(came) == SHOWN_BYTES else -1
    if elsewhere >= 0:
        text += f", which belongs at byte {offset + elsewhere}"
    raise Failure(text)


def first_difference(left: bytes, right: bytes) -> int:
    """The first position at which two byte strings differ; by bisection, so quick."""
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def raises(
    kind: type[_Error] | tuple[type[_Error], ...],
    call: Callable[..., Any],
    *args: Any,
    path: str | None = None,
    offset: int | None = None,
    **kwargs: Any,
) -> _Error:
    """Fail unless the call raises an error of that kind, well-formed.

    Args:
        kind: the class of the error, or several that will do.
        call: called with `args` and `kwargs`.
        path: the path that the error must carry; None for any.
        offset: the offset that the error must carry; None for any.

    Returns:
        The error.
    """
    kinds = kind if isinstance(kind, tuple) else (kind,)
    wanted = " or ".join(one.__name__ for one in kinds)
    what = f"{_name(call)}({', '.join(_arguments(args, kwargs))})"
    try:
        result = call(*args, **kwargs)
    except kinds as error:
        well_formed(error, what)
        if path is not None:
            equal(error.path, path, f"path of the error of {what}")
        if offset is not None:
            equal(error.offset, offset, f"offset of the error of {what}")
        return error
    except Exception as error:
        raise Failure(
            f"{what}: expected {wanted}, got {type(error).__name__}: {shown(error)}"
        ) from error
    close = getattr(result, "close", None)
    if close is not None:
        close()
    raise Failure(f"{what}: expected {wanted}, got no error but {shown(result)}")


def well_formed(error: StorageError, what: str) -> None:
    """Fail unless an error has what callers, and the bus, rely on."""
    cls = type(error)
    if CODES.get(cls.code) is not cls:
        raise Failure(f"{what}: {cls.__name__} is not a class of drivers.errors")
    if not isinstance(error.temporary, bool):
        raise Failure(f"{what}: temporary is {error.temporary!r}, no bool")
    if not isinstance(error.executed, Executed):
        raise Failure(f"{what}: executed is {error.executed!r}, no Executed")
    if not error.driver or error.driver not in str(error):
        raise Failure(f"{what}: the error does not name the driver: {shown(error)}")


def shown(value: object) -> str:
    """A value on one line of bounded length."""
    text = str(value) if isinstance(value, BaseException) else repr(value)
    text = " ".join(text.split())
    if len(text) <= SHOWN_CHARACTERS_MAX:
        return text
    return text[: SHOWN_CHARACTERS_MAX - 3] + "..."


def _name(call: Callable[..., Any]) -> str:
    return str(getattr(call, "__name__", type(call).__name__))


def _arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[str]:
    given = [_brief(value) for value in args]
    return given + [f"{name}={_brief(value)}" for name, value in kwargs.items()]


def _brief(value: object) -> str:
    text = shown(value)
    return text if len(text) <= 80 else text[:77] + "..."
