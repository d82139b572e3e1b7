"""The driver's name in the errors that the asynchronous client raises itself.

The synchronous client gets it from `drivers.checked`, which stands in front of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar

from ..drivers.errors import StorageError

_C = TypeVar("_C", bound=type)


def labelled(cls: _C) -> _C:
    """Class decorator: errors without a driver's name get `self._label()`."""
    for name, member in list(vars(cls).items()):
        if callable(member) and (not name.startswith("_") or name == "__anext__"):
            setattr(cls, name, _labelling(member))
    return cls


def _labelling(method: Callable[..., Any]) -> Callable[..., Any]:
    if iscoroutinefunction(method):

        @wraps(method)
        async def waits(self: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return await method(self, *args, **kwargs)
            except StorageError as error:
                error.driver = error.driver or self._label()
                raise

        return waits

    @wraps(method)
    def returns(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except StorageError as error:
            error.driver = error.driver or self._label()
            raise

    return returns
