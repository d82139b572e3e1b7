"""Values that are kept elsewhere, and values that are not to be shown.

A parameter may be written as ``{ env = "NAME" }`` or ``{ file = "/path" }``: the
configuration then holds no secret and can be kept in a repository.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

SECRET_BYTES_MAX = 65_536
REDACTED = "(redacted)"
KINDS = ("env", "file")


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a value is kept.

    Attributes:
        kind: "env" or "file".
        name: the variable, or the path; a relative one starts at the configuration.
    """

    kind: str
    name: str

    def resolve(self, environ: Mapping[str, str], directory: Path) -> str:
        """The value itself.

        Args:
            environ: the process's environment.
            directory: where the configuration file lies.

        Raises:
            ValueError: it is not there; says what to do, and never shows a value.
        """
        if self.kind == "env":
            if self.name not in environ:
                raise ValueError(f"the environment variable {self.name} is not set")
            return environ[self.name]
        path = directory / self.name
        try:
            with path.open("rb") as file:
                content = file.read(SECRET_BYTES_MAX + 1)
        except OSError as error:
            raise ValueError(f"cannot read {path} ({error.strerror})") from None
        if len(content) > SECRET_BYTES_MAX:
            raise ValueError(f"{path} is longer than {SECRET_BYTES_MAX} bytes")
        try:
            value = content.decode()
        except UnicodeDecodeError:
            raise ValueError(f"{path} is not text in UTF-8") from None
        # Editors and `echo` end a file with a newline that nobody means.
        return value.removesuffix("\n").removesuffix("\r")

    def to_fields(self) -> dict[str, str]:
        """The reference as it is written in the file."""
        return {self.kind: self.name}


def as_reference(value: object) -> Reference | None:
    """The reference that a value is, or None for a plain value.

    Raises:
        ValueError: it looks like a reference, but is none.
    """
    if not isinstance(value, Mapping) or not any(kind in value for kind in KINDS):
        return None
    if len(value) == 1:
        ((kind, name),) = value.items()
        if isinstance(name, str) and name:
            return Reference(kind, name)
    raise ValueError(
        'a reference has one key and a name: { env = "NAME" } or { file = "/path" }'
    )


def shown(
    parameters: Mapping[str, object],
    references: Mapping[str, Reference],
    public: Collection[str],
) -> dict[str, object]:
    """Parameters as they may be shown: references as such, secrets as `REDACTED`."""
    visible: dict[str, object] = {
        name: value if name in public and not _has_password(value) else REDACTED
        for name, value in parameters.items()
        if name not in references
    }
    visible.update((name, ref.to_fields()) for name, ref in references.items())
    return dict(sorted(visible.items()))


def _has_password(value: object) -> bool:
    """Whether a value looks like a URL with a user's name and password in it."""
    return isinstance(value, str) and "://" in value and "@" in value
