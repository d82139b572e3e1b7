"""Kinds of values, and the parameters that every store's driver has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any

from ..parameters import Parameter, boolean, text, whole

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
DAY_SECONDS = 24 * 3600


def public(name: str, parse: Any, default: Any, help: str) -> Parameter:
    """A parameter that may be shown."""
    return Parameter(name, parse, default, public=True, help=help)


def secret(name: str, parse: Any, default: Any, help: str) -> Parameter:
    """A parameter that may not."""
    return Parameter(name, parse, default, public=False, help=help)


def one_of(*choices: str, fold: Callable[[str], str] = str) -> Callable[[object], str]:
    """One of some words, after `fold`."""

    def parse(value: object) -> str:
        chosen = fold(text(value))
        if chosen not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return chosen

    return parse


def root(value: object) -> str:
    """A root directory, without slashes at its ends."""
    given = text(value).strip("/")
    if any(not part or part in (".", "..") for part in given.split("/") if given):
        raise ValueError("must be a path without empty components, . and ..")
    if "~" in given or not given.isascii() or not given.isprintable():
        raise ValueError("must be printable ASCII without ~")
    return given


COMMON = (
    public("rootdirectory", root, "", "beginning of all keys"),
    public("skipverify", boolean, False, "accept any certificate"),
    public("readchunksize", whole(64 * KIB, GIB), 8 * MIB, "bytes of a ranged read"),
    public("readmaxconcurrency", whole(1, 64), 4, "ranges at once in a read"),
    public("maxthreads", whole(1, 256), 32, "transfers at once, of all streams"),
    public("memorybudget", whole(0), 128 * MIB, "bytes of memory for all parts"),
    public("connecttimeout", whole(1, 3600), 3, "seconds for a connection"),
    public("readtimeout", whole(1, 3600), 20, "seconds without a byte"),
    public("presignlifetime", whole(1, 7 * DAY_SECONDS), 7 * DAY_SECONDS,
           "most seconds that a redirect URL works"),
    public("uploadage", whole(0), 7 * DAY_SECONDS,
           "seconds until an idle upload is dropped; 0: never"),
)  # fmt: skip


class Shown:
    """Options, one field a parameter, of which only public ones are ever shown."""

    __slots__ = ()

    def shown(self, names: Iterable[str]) -> str:
        """A representation without anything that is a secret."""
        public_names = frozenset(names)
        values = (
            f"{item.name}={getattr(self, item.name)!r}"
            for item in fields(self)  # type: ignore[arg-type]
            if item.name in public_names
        )
        return f"Options({', '.join(values)})"
