"""registry-storage-acme: the driver as a process of its own."""

import sys
from typing import NoReturn

from storagebus.workers import serve

from .driver import AcmeDriver


def main() -> NoReturn:
    """Serve until told to stop."""
    sys.exit(serve(AcmeDriver))
