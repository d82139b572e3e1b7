import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from storagebus.conf.bench import DIRECTORY
from storagebus.drivers import factory
from storagebus.drivers.inmemory import InMemoryDriver

SMALL = ["--seconds", "0.6", "--size", "2M", "--streams", "2", "--threads", "3"]
ROWS = [
    "write streams",
    "read streams",
    "put small",
    "get small",
    "stat, one by one",
    "mix: write",
    "mix: read",
    "mix: put small",
    "mix: get small",
    "mix: stat",
]


def folder(path: Path) -> list[str]:
    return ["--driver", "filesystem", "--parameters", f'{{"rootdirectory": "{path}"}}']


def left(path: Path) -> list[str]:
    return [found.name for found in path.glob(f"{DIRECTORY}-*")]


def test_a_table_for_people(run: Any, tmp_path: Path) -> None:
    ran = run("bench", *folder(tmp_path), *SMALL)
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert [line[:18].strip() for line in lines[1:11]] == ROWS
    assert len({len(line) for line in lines[:11]}) == 1
    assert lines[-2].startswith("memory of this process")
    assert lines[-1].endswith("iB compared with what was written")
    assert left(tmp_path) == []


@pytest.mark.parametrize("way", ["child", "bus"])
def test_an_object_for_programs(run: Any, way: str, bus: str, tmp_path: Path) -> None:
    words = [*folder(tmp_path), "--child"] if way == "child" else ["--endpoint", bus]
    ran = run("bench", "--json", *words, *SMALL)
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert [row["name"] for row in found["phases"]] == ROWS
    for row in found["phases"]:
        assert row["operations"] > 0, row
        assert 0 < row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"] <= row["longest_ms"]
    read = [row["bytes"] for row in found["phases"] if "read" in row["name"]]
    got = [row["bytes"] for row in found["phases"] if "get" in row["name"]]
    assert found["verified_bytes"] == sum(read) + sum(got) > 0
    seen = [process["process"] for process in found["memory"]]
    others = ["child"] if way == "child" else ["broker", "worker 2"]
    assert set(seen) >= {"this process", *others}
    assert all(process["peak"] >= process["before"] > 0 for process in found["memory"])
    listed = run("ls", "/", "--endpoint", bus).out if way == "bus" else ""
    assert DIRECTORY not in listed


def test_the_environment_names_the_service(
    run: Any, bus: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGEBUS_ENDPOINT", bus)
    monkeypatch.setenv("STORAGEBUS_SERVICE", "no-such")
    assert run("bench", "--deadline", "1", *SMALL).code == 7
    assert run("bench", "--driver", "inmemory", *SMALL).code == 0


class Corrupts(InMemoryDriver):
    """Returns a byte that was not stored."""

    name = "corrupts"

    def get_content(self, path: str) -> bytes:
        content = bytearray(super().get_content(path))
        content[-1] ^= 1
        return bytes(content)

    def close(self) -> None:
        """Stays open, to be looked at."""


def test_wrong_bytes_end_it(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Corrupts()
    monkeypatch.setitem(factory._registered, "corrupts", lambda: made)
    ran = run("bench", "--driver", "corrupts", *SMALL)
    assert ran.code == 9
    assert "other bytes than were written" in ran.err
    assert list(made.list("/")) == []


@pytest.mark.parametrize(("number", "code"), [("SIGTERM", 0), ("SIGINT", 130)])
def test_interrupted_it_cleans_up(tmp_path: Path, number: str, code: int) -> None:
    words = [*folder(tmp_path), *SMALL, "--seconds", "60"]
    bench = subprocess.Popen(
        [sys.executable, "-m", "storagebus.conf", "bench", *words],
        stdout=subprocess.PIPE,
        text=True,
        # A runner may ignore it, and would pass that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    ends = time.monotonic() + 30
    while not left(tmp_path) and time.monotonic() < ends:
        time.sleep(0.02)
    bench.send_signal(getattr(signal, number))
    bench.communicate(timeout=30)
    assert bench.returncode == code
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give --driver"),
        (["--driver", "inmemory", "--size", "0"], "no size such as"),
        (["--driver", "inmemory", "--size", "1X"], "no size such as"),
        (["--driver", "inmemory", "--size", "2T"], "no size such as"),
        (["--driver", "inmemory", "--small", "2M"], "1 MiB at most"),
        (["--driver", "inmemory", "--seconds", "0"], "--seconds"),
        (["--driver", "inmemory", "--streams", "257"], "--streams"),
    ],
)
def test_usage(
    run: Any, words: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STORAGEBUS_ENDPOINT")
    ran = run("bench", *words)
    assert ran.code == 2
    assert said in ran.err
