"""From a file and the environment to a checked `Configuration`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NoReturn

from ..drivers.oserrors import from_os_error
from .check import NO_OPTIONS, Options, check
from .lines import scan
from .problems import ConfigurationError, Problem
from .schema import Configuration

FILE_BYTES_MAX = 1_048_576
_SYNTAX_LINE = re.compile(r"\(at line (\d+), column \d+\)")


def load(
    path: Path | None,
    environ: Mapping[str, str],
    hosts: Collection[str] | None = None,
    *,
    options: Options = NO_OPTIONS,
    listens: bool = True,
) -> Configuration:
    """Read and check a configuration.

    Args:
        path: the TOML file; None stands for an empty one.
        environ: the process's environment, for overrides and references.
        hosts: services whose drivers this process is to run: only their secrets are
            fetched and only their parameters checked, since a broker needs neither
            the credentials nor the packages of a driver. None stands for all.
        options: values from the command line, which count most.
        listens: whether this process, or one that it starts, is a broker.

    Raises:
        ConfigurationError: holds every problem.
        StorageError: the file cannot be read; typed by the reason.
    """
    if path is None:
        return check({}, {}, "", environ, hosts, options=options, listens=listens)
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise from_os_error(error, str(path)) from error
    origin = str(path)
    if len(content) > FILE_BYTES_MAX:
        _refuse(origin, None, f"longer than {FILE_BYTES_MAX} bytes")
    try:
        # TOML ends lines with LF or CRLF, and tomllib reads them alike.
        text = content.decode().replace("\r\n", "\n")
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        _refuse(origin, line, "not text in UTF-8")
    except tomllib.TOMLDecodeError as error:
        found = _SYNTAX_LINE.search(str(error))
        line = int(found.group(1)) if found else text.count("\n") + 1
        reason = _SYNTAX_LINE.sub("", str(error)).strip()
        _refuse(origin, line, f"not valid TOML: {reason}")
    return check(
        document,
        scan(text),
        origin,
        environ,
        hosts,
        options=options,
        listens=listens,
    )


def _refuse(origin: str, line: int | None, message: str) -> NoReturn:
    raise ConfigurationError([Problem(origin, line, "", message)])
