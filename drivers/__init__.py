"""What storage means: the contract, its errors, the drivers and their test suite."""

from __future__ import annotations

from . import errors
from .contract import (
    API_VERSION,
    Capabilities,
    FileInfo,
    FileRange,
    Reader,
    StorageDriver,
    UploadState,
    UploadStatus,
    Walk,
    Writer,
)
from .factory import create, register

__all__ = [
    "API_VERSION",
    "Capabilities",
    "FileInfo",
    "FileRange",
    "Reader",
    "StorageDriver",
    "UploadState",
    "UploadStatus",
    "Walk",
    "Writer",
    "create",
    "errors",
    "register",
]
