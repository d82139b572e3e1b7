import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_bus import RealBus

from storagebus.client import Client
from storagebus.conf.bus import missing_workers, service_line
from storagebus.conf.main import main

NOWHERE = "ipc:///nowhere/clients"


def workers(count: int, state: str = "ready") -> dict[str, Any]:
    return {"workers": [{"id": f"{n}", "pid": n, "state": state} for n in range(count)]}


@pytest.mark.parametrize(
    ("services", "wanted", "missing"),
    [
        ({}, None, ["no service has a worker yet"]),
        ({"a": workers(1)}, None, []),
        ({"a": workers(1), "b": workers(0)}, None, ["service b has 0 of 1 workers"]),
        ({"a": workers(1, "draining")}, None, ["service a has 0 of 1 workers"]),
        ({"a": workers(2)}, {"a": 3}, ["service a has 2 of 3 workers"]),
        ({"a": {**workers(2), "workers_total": 70}}, {"a": 70}, []),
        ({"a": workers(1)}, {"b": 1}, ["service b has 0 of 1 workers"]),
    ],
)
def test_who_is_missing(
    services: dict[str, Any], wanted: dict[str, int] | None, missing: list[str]
) -> None:
    assert list(missing_workers({"services": services}, wanted)) == missing


def test_status_in_json(bus: str, run: Any) -> None:
    ran = run("status", "--json", "--endpoint", bus)
    assert ran.code == 0
    found = json.loads(ran.out)
    assert found["broker"]["id"]
    assert found["broker"]["pid"] > 1
    listed = found["services"]["default"]["workers"]
    assert len(listed) == 2
    assert all(worker["id"] and worker["pid"] > 1 for worker in listed)


def test_status_counts_as_people_do() -> None:
    one = {**workers(1), "waiting": 1}
    assert service_line("a", one) == "service a: 1 worker, 1 call waiting"
    assert service_line("a", workers(2)) == "service a: 2 workers, 0 calls waiting"


def test_status_for_people(bus: str, run: Any) -> None:
    ran = run("status", "--endpoint", bus)
    assert ran.code == 0
    first, second, *rest = ran.out.splitlines()
    assert first.startswith("broker ")
    assert second == "service default: 2 workers, 0 calls waiting"
    assert len(rest) == 2
    assert all("state ready" in line for line in rest)


def test_ready(bus: str, run: Any) -> None:
    assert run("ready", "--endpoint", bus, "--timeout", "10").code == 0
    ran = run("ready", "--endpoint", bus, "--service", "default", "--json")
    assert json.loads(ran.out) == {
        "ready": True,
        "services": {"default": {"workers": 2}},
    }


def test_ready_with_a_number_of_workers(bus: str, run: Any) -> None:
    at = ["--endpoint", bus, "--timeout", "0.3"]
    assert run("ready", *at, "--service", "default", "--workers", "2").code == 0
    ran = run("ready", *at, "--service", "default", "--workers", "3")
    assert ran.code == 8
    assert "service default has 2 of 3 workers" in ran.err
    ran = run("ready", *at, "--workers", "2")
    assert ran.code == 2
    assert "--workers are those of one --service" in ran.err


@pytest.fixture(scope="module")
def pair() -> Iterator[RealBus]:
    """Two brokers with a worker at both."""
    with RealBus(brokers=2) as made:
        yield made


def test_status_of_several_brokers(pair: RealBus, run: Any) -> None:
    at = ["--deadline", "3", "--endpoint", ",".join([NOWHERE, *pair.endpoints])]
    ran = run("status", "--json", *at)
    assert ran.code == 0
    found = json.loads(ran.out)
    silent, first, second = found.pop("brokers")
    assert (silent.pop("endpoint"), [*silent]) == (NOWHERE, ["error"])
    assert [first.pop("endpoint"), second.pop("endpoint")] == pair.endpoints
    assert [each["broker"]["id"] for each in (first, second)] == ["b0", "b1"]
    assert len(second["services"]["default"]["workers"]) == 1
    assert found == first
    ran = run("status", *at)
    assert ran.code == 0
    shown = [line for line in ran.out.splitlines() if line.startswith("broker ")]
    assert shown[0].startswith(f"broker at {NOWHERE}: ")
    assert [line[:10] for line in shown[1:]] == ["broker b0:", "broker b1:"]


def test_status_of_several_brokers_that_are_silent(run: Any) -> None:
    also = NOWHERE + "2"
    ran = run("status", "--endpoint", f"{NOWHERE},{also}", "--deadline", "0.3")
    assert (ran.code, ran.out) == (7, "")
    assert also in ran.err


def test_ready_waits_for_all_brokers(pair: RealBus, run: Any) -> None:
    both = ",".join(pair.endpoints)
    ran = run("ready", "--json", "--endpoint", both, "--timeout", "10")
    assert ran.code == 0
    assert json.loads(ran.out)["services"] == {"default": {"workers": 1}}
    ran = run("ready", "--endpoint", f"{both},{NOWHERE}", "--timeout", "0.3")
    assert ran.code == 8
    assert NOWHERE in ran.err and "does not answer" in ran.err


def test_ready_says_what_is_missing(bus: str, run: Any) -> None:
    started = time.monotonic()
    ran = run("ready", "--endpoint", bus, "--service", "other", "--timeout", "0.3")
    assert ran.code == 8
    assert "service other has 0 of 1 workers" in ran.err
    ran = run("ready", "--endpoint", NOWHERE, "--timeout", "0.3")
    assert ran.code == 8
    assert "the broker does not answer" in ran.err
    assert time.monotonic() - started < 10


def test_a_broker_that_is_not_there(run: Any) -> None:
    for command in (["status"], ["drain", "x"]):
        ran = run(*command, "--endpoint", NOWHERE, "--deadline", "0.3")
        assert ran.code == 7
        assert NOWHERE in ran.err
        assert ran.err.count("\n") == 1


def test_drain(up: Any, run: Any) -> None:
    endpoint = json.loads(up("--workers", "1", "--json").line())["endpoint"]
    with Client(endpoint) as client:
        (worker,) = client.bus_status()["services"]["default"]["workers"]
        assert run("drain", worker["id"], "--endpoint", endpoint).code == 0
        # The manager of `up` starts another in its place.
        client.put_content("/a", b"1")
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            found = client.bus_status()["services"]["default"]["workers"]
            if found and worker["id"] not in [each["id"] for each in found]:
                break
            time.sleep(0.05)
        else:
            raise AssertionError("no other worker came")
    assert run("drain", "no-such", "--endpoint", endpoint).code == 3


def test_storage_commands_through_the_bus(
    bus: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in" / "dir").mkdir(parents=True)
    for number in range(20):
        data = bytes([number]) * number * 10_000
        (tmp_path / "in" / "dir" / f"f{number}").write_bytes(data)
    at = ["--endpoint", bus]
    assert main(["put", "-r", str(tmp_path / "in"), "/cli", *at]) == 0
    assert main(["get", "-r", "/cli", str(tmp_path / "out"), *at]) == 0
    for path in (tmp_path / "in" / "dir").iterdir():
        assert (tmp_path / "out" / "dir" / path.name).read_bytes() == path.read_bytes()
    capsys.readouterr()
    assert main(["ls", "--json", "/cli/dir", *at]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sorted(json.loads(line)["size"] for line in lines) == [
        number * 10_000 for number in range(20)
    ]
    assert main(["ls", "/cli/nothing", *at]) == 3
    assert main(["ls", "/", "--service", "other", *at]) == 7
    assert main(["rm", "-r", "/cli", *at]) == 0
    assert main(["stat", "/cli", *at]) == 3


def test_conform_through_the_bus(bus: str, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["--endpoint", bus, "--service", "default", "--only", "reader"]
    assert main(["conform", *args]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(" passed, 0 failed")
