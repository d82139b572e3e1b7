"""The limit on open files is raised as far as the system allows."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import resource
from storagebus.broker.filelimit import raise_file_limit
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
assert raise_file_limit() == hard
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
assert raise_file_limit() == hard
"""


def test_the_limit_is_raised_to_the_hard_one() -> None:
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, timeout=30)
