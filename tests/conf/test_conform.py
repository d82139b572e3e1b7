import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from storagebus.drivers import factory
from storagebus.drivers.inmemory import InMemoryDriver


def test_a_driver_that_conforms(run: Any) -> None:
    ran = run("conform", "--driver", "inmemory")
    lines = ran.out.splitlines()
    assert ran.code == 0, ran.out
    assert re.fullmatch(r"\d+ passed, 0 failed", lines[-1])
    passed = [line for line in lines if line.startswith("passed")]
    assert len(passed) >= 45
    assert int(lines[-1].split()[0]) == len(passed)
    # What does not apply stands before the end, with its reason.
    left_out = [number for number, line in enumerate(lines) if "left out" in line[:8]]
    assert left_out == list(range(len(passed), len(lines) - 1))
    assert left_out


class Forgets(InMemoryDriver):
    """Stores nothing."""

    name = "forgets"

    def put_content(self, path: str, content: Any) -> None:
        pass


def test_a_driver_that_does_not(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(factory._registered, "forgets", Forgets)
    ran = run("conform", "--driver", "forgets", "--only", "content")
    assert ran.code == 1
    lines = ran.out.splitlines()
    count = sum(line.startswith("failed") for line in lines)
    assert count > 0
    assert re.fullmatch(rf"\d+ passed, {count} failed", lines[-1])
    assert ran.err.startswith(
        f"storagebus: the driver does not conform: {count} failed"
    )
    seed = ran.err.split("--seed ")[1].split()[0]
    again = run("conform", "--driver", "forgets", "--only", "content", "--seed", seed)
    assert seed in again.err


def test_parameters_are_the_driver_s(run: Any, tmp_path: Path) -> None:
    given = json.dumps({"rootdirectory": str(tmp_path / "root")})
    ran = run(
        "conform", "--driver", "filesystem", "--parameters", given, "--only", "paths"
    )
    assert ran.code == 0
    assert (tmp_path / "root").is_dir()


def test_json(run: Any) -> None:
    ran = run("conform", "--driver", "inmemory", "--only", "content", "--json")
    *results, last = map(json.loads, ran.out.splitlines())
    assert {result["outcome"] for result in results} <= {"passed", "left out"}
    assert last["ok"] is True
    assert last["passed"] + last["left_out"] == len(results)


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ([], 2),
        (["--driver", "inmemory", "--endpoint", "ipc:///x"], 2),
        (["--driver", "inmemory", "--service", "x"], 2),
        (["--driver", "inmemory", "--deadline", "5"], 2),
        (["--endpoint", "ipc:///x", "--deadline", "0"], 2),
        (["--endpoint", "ipc:///x", "--child"], 2),
        (["--endpoint", "ipc:///x", "--parameters", "{}"], 2),
        (["--driver", "inmemory", "--parameters", "no json"], 2),
        (["--driver", "inmemory", "--parameters", "[]"], 2),
        (["--driver", "there-is-no-such"], 4),
        (["--driver", "there-is-no-such", "--child"], 4),
        (["--driver", "inmemory", "--parameters", '{"x": 1}'], 4),
        (["--driver", "inmemory", "--only", "no-such-topic"], 4),
        (["--endpoint", "nonsense"], 4),
    ],
)
def test_wrong_ways_to_ask(run: Any, args: list[str], code: int) -> None:
    ran = run("conform", *args)
    assert ran.code == code, ran.err
    assert ran.err.count("\n") == 1


def test_the_deadline_is_of_each_call(run: Any, tmp_path: Path) -> None:
    """Nobody is there; the client's own default would be half a minute."""
    started = time.monotonic()
    ran = run("conform", "--endpoint", f"ipc://{tmp_path}/x", "--deadline", "0.5")
    assert ran.code in (7, 8), ran.err
    assert time.monotonic() - started < 10
