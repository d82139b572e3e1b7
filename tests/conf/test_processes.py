"""The commands broker and worker, as real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from storagebus.client import Client
from storagebus.conf.bus import wait_ready
from storagebus.conf.processes import worker
from storagebus.workers.spawned import Surroundings

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def start_one(*args: str, **variables: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "storagebus.conf", *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **variables},
        )
        started.append(process)
        return process

    yield start_one
    for process in started:
        process.kill()
        process.communicate(timeout=30)


def end(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> int:
    process.send_signal(number)
    return process.wait(15)


def doors(directory: Path) -> tuple[str, str]:
    return f"ipc://{directory}/c", f"ipc://{directory}/w"


def test_broker_and_workers_by_options(start: Start, tmp_path: Path) -> None:
    clients, workers = doors(tmp_path)
    broker = start("broker", "--clients", clients, "--workers", workers)
    assert broker.stdout is not None
    assert broker.stdout.readline().decode() == (
        f"storagebus: broker ready, clients at {clients}, workers at {workers}\n"
    )
    given = json.dumps({"rootdirectory": str(tmp_path / "root")})
    worker = start(
        *("worker", "files", "--endpoint", workers, "--driver", "filesystem"),
        *("--parameters", given, "--slots", "3", "--streams", "5"),
    )
    with Client(clients, service="files", deadline=5) as client:
        found = wait_ready(client, 15, {"files": 1})
        (shown,) = found["services"]["files"]["workers"]
        assert (shown["pid"], shown["slots"]) == (worker.pid, 3)
        client.put_content("/a", b"1")
        assert (tmp_path / "root" / "a").read_bytes() == b"1"
        assert end(worker) == 0
    assert end(broker) == 0


def test_broker_and_worker_by_a_file(start: Start, tmp_path: Path) -> None:
    clients, workers = doors(tmp_path)
    path = tmp_path / "bus.toml"
    path.write_text(f"""
    [broker]
    clients = "{clients}"
    workers = "{workers}"
    id = "one"
    [services.files]
    driver = "filesystem"
    parameters = {{ rootdirectory = {{ env = "ROOT" }} }}
    [services.other]
    driver = "not-installed-here"
    parameters = {{ key = {{ env = "NOT_SET" }} }}
    """)
    # The broker needs neither drivers nor secrets.
    broker = start("broker", "--config", str(path))
    assert broker.stdout is not None
    assert broker.stdout.readline().startswith(b"storagebus: broker ready")
    worker = start("worker", "files", STORAGEBUS_CONFIG=str(path), ROOT=str(tmp_path))
    with Client(clients, service="files", deadline=5) as client:
        found = wait_ready(client, 15, {"files": 1})
        assert found["broker"]["id"] == "one"
        assert found["services"]["other"]["workers"] == []
        client.put_content("/a", b"1")
    assert end(worker, signal.SIGINT) == 0
    assert end(broker, signal.SIGINT) == 0


def test_a_worker_becomes_its_executable(start: Start, tmp_path: Path) -> None:
    clients, workers = doors(tmp_path)
    program = tmp_path / "bin" / "registry-storage-acme"
    program.parent.mkdir()
    program.write_text(f"""#!{sys.executable}
from storagebus.drivers.inmemory import InMemoryDriver
from storagebus.workers import parameters, serve
assert parameters() == {{"region": "r", "password": "hush-hush"}}
serve(InMemoryDriver())
""")
    program.chmod(0o755)
    path = tmp_path / "bus.toml"
    path.write_text("""
    [services.acme]
    driver = "acme"
    parameters = { region = "r", password = { env = "PASSWORD" } }
    """)
    broker = start("broker", "--clients", clients, "--workers", workers)
    worker = start(
        *("worker", "acme", "--config", str(path), "--endpoint", workers),
        PATH=f"{program.parent}:{os.environ['PATH']}",
        PASSWORD="hush-hush",
    )
    with Client(clients, service="acme", deadline=5) as client:
        found = wait_ready(client, 15, {"acme": 1})
        assert found["services"]["acme"]["workers"][0]["pid"] == worker.pid
        client.put_content("/a", b"1")
        assert client.get_content("/a") == b"1"
    line = Path(f"/proc/{worker.pid}/cmdline").read_bytes()
    assert b"registry-storage-acme" in line
    assert b"hush" not in line
    assert end(worker) == 0
    assert end(broker) == 0


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["broker"], 4, "broker.clients is missing"),
        (["broker", "--clients", "ipc:///tmp/x"], 4, "broker.workers is missing"),
        (["broker", "--clients", "x"], 4, "--clients: broker.clients: "),
        (
            ["broker", "--clients", "tcp://0.0.0.0:1", "--workers", "ipc:///tmp/x"],
            4,
            "allow_unauthenticated_network",
        ),
        (["worker"], 2, "Missing argument"),
        (["worker", "x"], 4, "no service 'x' is configured (known: none)"),
        (["worker", "x", "--driver", "inmemory"], 4, "give --endpoint ADDRESS"),
        (["worker", "x", "--driver", "no-such"], 4, "no such storage driver"),
        (["worker", "x", "--slots", "0", "--driver", "inmemory"], 4, "--slots: "),
        (
            ["worker", "x", "--driver", "filesystem", "--parameters", '{"roo": 1}'],
            4,
            "--parameters: services.x.parameters.roo",
        ),
        (
            [
                *("worker", "x", "--driver", "inmemory"),
                *("--parameters", '{"a": {"$secret": "a"}}'),
            ],
            4,
            "the parent has sent no secret 'a'",
        ),
        (["worker", "x y", "--driver", "inmemory"], 4, "a service's name"),
    ],
)
def test_what_cannot_start(run: Any, args: list[str], code: int, words: str) -> None:
    ran = run(*args)
    assert (ran.code, ran.out) == (code, "")
    assert words in ran.err


def test_an_address_that_cannot_be_bound(run: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    door = f"ipc://{tmp_path}/w"
    ran = run("broker", "--clients", f"ipc://{tmp_path}/file/c", "--workers", door)
    assert ran.code != 0
    assert ran.err.splitlines()[-1].startswith("storagebus: ")
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("name", "value"),
    [("slots", Surroundings().slots), ("streams", Surroundings().streams)],
)
def test_help_tells_the_defaults_that_hold(name: str, value: int) -> None:
    (option,) = [given for given in worker.params if given.name == name]
    assert f"[default: {value}]" in option.to_info_dict()["help"]
