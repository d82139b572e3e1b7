import platform
import subprocess
import sys

import pytest

from storagebus.broker import allocator

FAULTS = """
import resource, sys
from storagebus.broker.allocator import keep_memory
if "keep" in sys.argv:
    assert keep_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
held = []
def turn():
    # What a broker holds at a time: some messages, the oldest given back first.
    for _ in range(4):
        held.append(bytearray(1 << 20))
    while len(held) > 2:
        held.pop(0)
for _ in range(20):
    turn()
before = faults()
for _ in range(200):
    turn()
print((faults() - before) / 800)
"""


def faults_a_message(*words: str) -> float:
    ran = subprocess.run(
        [sys.executable, "-c", FAULTS, *words],
        capture_output=True,
        text=True,
        check=True,
        # With the default's own adaptation, whether it faults is a matter of luck.
        env={"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=131072"},
    )
    return float(ran.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's own setting")
def test_messages_cost_no_page_faults() -> None:
    assert faults_a_message() > 100
    assert faults_a_message("keep") < 10


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.os, "confstr", lambda name: None)
    assert not allocator.keep_memory()

    def unknown(name: str) -> str:
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(allocator.os, "confstr", unknown)
    assert not allocator.keep_memory()
