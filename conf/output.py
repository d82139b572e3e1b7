"""How data is printed: lines for people, one JSON object a line for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC
from typing import Any

import click

from ..drivers.contract import FileInfo

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def print_json(fields: Mapping[str, Any]) -> None:
    """One object on one line."""
    click.echo(json.dumps(fields, separators=(",", ":"), ensure_ascii=False))


def info_fields(info: FileInfo) -> dict[str, Any]:
    """What --json says of an object or directory."""
    return {
        "path": info.path,
        "size": info.size,
        "mod_time": None if info.mod_time is None else info.mod_time.isoformat(),
        "is_dir": info.is_dir,
        "identity": info.identity,
    }


def long_line(info: FileInfo) -> str:
    """What -l says of an object or directory: size, time, path."""
    if info.is_dir:
        return f"{'-':>14}  {'-':<20}  {info.path}/"
    when = "-"
    if info.mod_time is not None:
        when = f"{info.mod_time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return f"{info.size:>14}  {when:<20}  {info.path}"


def size_text(count: float) -> str:
    """A number of bytes for people, as in "12.3 MiB"."""
    for unit in _UNITS[:-1]:
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} {_UNITS[-1]}"
