"""Worker processes: one driver each, served to brokers; and who starts them.

`parameters` and `serve` are all that a driver's executable needs. They are loaded when
they are first asked for, so that a parent can use this package without ZeroMQ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .serving import parameters, serve

__all__ = ["parameters", "serve"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from . import serving

        return getattr(serving, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
