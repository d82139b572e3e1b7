"""Problems of a configuration: collected all, then reported together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from ..drivers.errors import InvalidParameterError

PROBLEMS_MAX = 200
"""More than these are counted, not kept: a wrong file may have a problem a line."""

NO_SERVICE = "no service is configured; add [services.NAME]"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        origin: the file, or the environment variable, that the value came from.
        line: line in that file, from 1; None where there is none.
        key: dotted path of the key; "" for the file as a whole.
        message: what is wrong, and what is accepted.
    """

    origin: str
    line: int | None
    key: str
    message: str

    def __str__(self) -> str:
        place = self.origin if self.line is None else f"{self.origin}:{self.line}"
        return ": ".join(part for part in (place, self.key, self.message) if part)

    def to_fields(self) -> dict[str, object]:
        """A map of plain values, for JSON."""
        return {
            "file": self.origin,
            "line": self.line,
            "key": self.key,
            "message": self.message,
        }


class ConfigurationError(InvalidParameterError):
    """A configuration cannot be used; `problems` holds every reason.

    Args:
        problems: at least one.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(map(str, self.problems)))


def suggestion(name: str, known: Iterable[str]) -> str:
    """What to say of a name that is not known: the nearest one, and all there are."""
    names = sorted(known)
    close = get_close_matches(name.lower(), names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"unknown key {name!r}{hint} (known: {', '.join(names) or 'none'})"


def dotted(path: Iterable[str | int]) -> str:
    """A key's path as a person writes it."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        plain = part.replace("-", "").replace("_", "").isalnum() and part.isascii()
        text += ("." if text else "") + (part if plain else f'"{part}"')
    return text
