"""Logging of the processes that run for long: lines on standard error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..workers.logs import configure

LEVELS = ("debug", "info", "warning", "error")
FORMAT = "%(asctime)s %(levelname)s %(name)s[%(process)d] %(message)s"

_F = TypeVar("_F", bound=Callable[..., Any])


def log_option(default: str) -> Callable[[_F], _F]:
    """The option --log-level, which sets logging up before the command begins."""
    return click.option(
        "--log-level",
        type=click.Choice(LEVELS),
        default=default,
        show_default=True,
        envvar="STORAGEBUS_LOG_LEVEL",
        expose_value=False,
        callback=_configure,
        help="What is logged on standard error.",
    )


def _configure(context: click.Context, parameter: click.Parameter, level: str) -> None:
    if context.resilient_parsing:
        return
    configure(level.upper(), FORMAT)
