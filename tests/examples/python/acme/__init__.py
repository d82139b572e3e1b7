"""A storage driver for storagebus: objects in one SQLite file."""

from .driver import AcmeDriver

__all__ = ["AcmeDriver"]
