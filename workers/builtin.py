"""The executables of the drivers in this package: `registry-storage-NAME`."""

from __future__ import annotations

import sys
from typing import NoReturn

from ..drivers.errors import InvalidParameterError, StorageError
from ..drivers.factory import create
from .exits import Exit
from .serving import parameters, serve


def azure() -> NoReturn:
    """registry-storage-azure"""
    _main("azure")


def filesystem() -> NoReturn:
    """registry-storage-filesystem"""
    _main("filesystem")


def inmemory() -> NoReturn:
    """registry-storage-inmemory"""
    _main("inmemory")


def s3() -> NoReturn:
    """registry-storage-s3"""
    _main("s3")


def _main(name: str) -> NoReturn:
    given = parameters()
    try:
        driver = create(name, given)
    except StorageError as error:
        print(f"registry-storage-{name}: {error}", file=sys.stderr, flush=True)
        wrong = isinstance(error, InvalidParameterError)
        sys.exit(int(Exit.CONFIGURATION) if wrong else 1)
    sys.exit(serve(driver))
