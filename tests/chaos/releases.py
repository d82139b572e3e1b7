"""Another release of storagebus, made from this one: newer on the wire and in its
driver interface, so that old and new can be had side by side."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("broker", "client", "conf", "drivers", "workers")
CHANGES = {
    "drivers/contract.py": (r'^API_VERSION = "1\.0"$', 'API_VERSION = "1.1"'),
    "broker/messages.py": (r"^PROTOCOL_MAX = 1$", "PROTOCOL_MAX = 2"),
}
"""What the next release has that this one has not: a minor of the driver interface,
and a version of the protocol."""


def make_next(folder: Path) -> Path:
    """Copy this release as the next one; returns what goes onto PYTHONPATH."""
    package = folder / "storagebus"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()  # so that it is found before a namespace
    for room in ROOMS:
        ignored = shutil.ignore_patterns("__pycache__", "*.md")
        shutil.copytree(ROOT / room, package / room, ignore=ignored)
    for name, (pattern, replacement) in CHANGES.items():
        file = package / name
        text, count = re.subn(pattern, replacement, file.read_text(), flags=re.M)
        assert count == 1, f"{name} has no {pattern}"
        file.write_text(text)
    return folder
