"""The executables of the drivers in this package: `registry-storage-NAME`."""

from __future__ import annotations

import sys
from typing import NoReturn

from ..drivers.factory import create
from .serving import serve


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
    sys.exit(serve(lambda **given: create(name, given)))
