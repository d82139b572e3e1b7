"""`storagebus up` with real processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from storagebus.client import Client
from storagebus.drivers.errors import StorageError

WAIT_S = 30.0

EXECUTABLE = """\
#!{python}
import sys
from storagebus.drivers.inmemory import InMemoryDriver
from storagebus.workers import parameters, serve
given = parameters()
assert given == {{"region": "r", "password": "hush-hush"}}, given
serve(InMemoryDriver())
"""


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def gone(processes: list[psutil.Process]) -> bool:
    return not any(
        process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        for process in processes
    )


def test_without_configuration_it_serves_a_folder(up: Any, tmp_path: Path) -> None:
    running = up()
    line = running.line()
    assert line.startswith("storagebus: ready at ipc:///")
    assert line.count("\n") == 1
    endpoint = line.removeprefix("storagebus: ready at ").strip()
    socket = Path(endpoint.removeprefix("ipc://"))
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    processes = descendants(running.process.pid)
    lines = [" ".join(process.cmdline()) for process in processes]
    assert sum(" broker " in line for line in lines) == 1
    assert sum(" worker default " in line for line in lines) == 2
    with Client(endpoint) as client:
        client.put_content("/a/b", b"1")
        assert len(client.bus_status()["services"]["default"]["workers"]) == 2
    assert (tmp_path / "storagebus-data" / "a" / "b").read_bytes() == b"1"
    code, err = running.stop()
    assert (code, err) == (0, "")
    assert gone(processes)
    assert not socket.parent.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_either_signal_ends_it_with_0(up: Any, tmp_path: Path, number: int) -> None:
    running = up("--data", "objects", "--workers", "1", "--json")
    found = json.loads(running.line())
    assert found["services"] == ["default"]
    assert found["pid"] == running.process.pid
    processes = descendants(running.process.pid)
    assert running.stop(number)[0] == 0
    assert gone(processes)
    assert (tmp_path / "objects").is_dir()


def test_a_signal_before_it_is_ready(up: Any) -> None:
    running = up()
    until(lambda: bool(descendants(running.process.pid)))
    processes = descendants(running.process.pid)
    assert running.stop()[0] == 0
    assert gone(processes)


def test_killed_processes_come_back_and_none_outlives_it(up: Any) -> None:
    running = up("--workers", "1")
    endpoint = running.line().rpartition(" ")[2].strip()
    processes = descendants(running.process.pid)
    with Client(endpoint, deadline=WAIT_S) as client:
        client.put_content("/a", b"1")
        for word in (" worker default ", " broker "):
            (victim,) = [p for p in processes if word in " ".join(p.cmdline())]
            victim.kill()
            assert client.get_content("/a") == b"1"
            processes = descendants(running.process.pid)
            assert victim.pid not in [process.pid for process in processes]
    running.process.kill()
    until(lambda: gone(processes))
    running.process.communicate(timeout=30)
    # Nobody was left to do that.
    shutil.rmtree(Path(endpoint.removeprefix("ipc://")).parent)


CONFIGURATION = """
[broker]
clients = "ipc://{directory}/c"
[services.files]
driver = "filesystem"
[services.files.parameters]
rootdirectory = {{ env = "FILES_ROOT" }}
[services.acme]
driver = "acme"
parameters = {{ region = "r", password = {{ env = "ACME_PASSWORD" }} }}
"""


def test_a_configuration_with_an_executable_and_secrets(
    up: Any, tmp_path: Path
) -> None:
    program = tmp_path / "bin" / "registry-storage-acme"
    program.parent.mkdir()
    program.write_text(EXECUTABLE.format(python=sys.executable))
    program.chmod(0o755)
    path = tmp_path / "bus.toml"
    path.write_text(CONFIGURATION.format(directory=tmp_path))
    variables = {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "FILES_ROOT": str(tmp_path / "files-root"),
        "ACME_PASSWORD": "hush-hush",
        "STORAGEBUS_BROKER_ID": "from-environment",
    }
    running = up("--config", "bus.toml", **variables)
    assert running.line() == f"storagebus: ready at ipc://{tmp_path}/c\n"
    for service in ("files", "acme"):
        with Client(f"ipc://{tmp_path}/c", service=service) as client:
            client.put_content("/a", service.encode())
            assert client.get_content("/a") == service.encode()
            assert client.bus_status()["broker"]["id"] == "from-environment"
    processes = descendants(running.process.pid)
    lines = [" ".join(process.cmdline()) for process in processes]
    assert any("registry-storage-acme" in line for line in lines)
    for process, line in zip(processes, lines, strict=True):
        assert "hush" not in line
        if "storagebus-guard" not in line:
            assert "hush-hush" not in process.environ().values()
    assert running.stop()[0] == 0
    assert gone(processes)


def test_a_driver_of_one_s_own(up: Any, tmp_path: Path) -> None:
    given = json.dumps({"rootdirectory": str(tmp_path / "root")})
    running = up("--driver", "filesystem", "--parameters", given)
    endpoint = running.line().rpartition(" ")[2].strip()
    with Client(endpoint) as client:
        client.put_content("/a", b"1")
        assert len(client.bus_status()["services"]["default"]["workers"]) == 1
    assert (tmp_path / "root" / "a").read_bytes() == b"1"


def test_a_free_port(up: Any) -> None:
    running = up("--endpoint", "tcp://127.0.0.1:0", "--workers", "1")
    endpoint = running.line().rpartition(" ")[2].strip()
    assert endpoint.startswith("tcp://127.0.0.1:")
    assert not endpoint.endswith(":0")
    with Client(endpoint) as client:
        assert client.list("/") == []


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--driver", "there-is-no-such"], 4, "--driver: services.default.driver: "),
        (["--driver", "inmemory", "--workers", "2"], 4, "must be 1"),
        (["--workers", "0"], 4, "--workers: services.default.workers"),
        (["--endpoint", "tcp://0.0.0.0:1"], 4, "allow_unauthenticated_network"),
        (["--endpoint", "nonsense"], 4, "use ipc:///path or tcp://host:port"),
        (["--parameters", "{}"], 2, "--driver"),
        (["--config", "x", "--data", "y"], 2, "without --config"),
        (["--driver", "inmemory", "--data", "y"], 2, "filesystem"),
        (["--config", "missing.toml"], 3, "missing.toml"),
        (["--config", "empty.toml"], 4, "no service is configured"),
    ],
)
def test_what_cannot_start_is_said_in_one_line(
    run: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    args: list[str],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.toml").write_text("")
    ran = run("up", *args)
    assert (ran.code, ran.out) == (code, "")
    assert words in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--data", "file"], 4, "invalid parameter: worker default: rootdirectory"),
        (["--endpoint", "ipc:///proc/nowhere/c"], 4, "broker: cannot listen at "),
    ],
)
def test_a_process_that_cannot_start_is_the_error(
    up: Any, tmp_path: Path, args: list[str], code: int, words: str
) -> None:
    (tmp_path / "file").write_bytes(b"")
    running = up(*args, "--log-level", "error")
    _, err = running.process.communicate(timeout=WAIT_S)
    assert running.process.returncode == code, err
    last = err.decode().splitlines()[-1]
    assert last.startswith("storagebus: ")
    assert words in last


def test_an_address_in_use(up: Any, tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/c"
    first = up("--endpoint", endpoint, "--workers", "1")
    first.line()
    second = up("--endpoint", endpoint, "--workers", "1")
    _, err = second.process.communicate(timeout=WAIT_S)
    assert second.process.returncode == 7
    assert b"another broker listens" in err.splitlines()[-1]
    with Client(endpoint) as client:
        assert client.list("/") == []


def test_an_executable_that_refuses_its_parameters_is_code_4(
    up: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "registry-storage-picky"
    program.write_text(
        f"#!{sys.executable}\nimport sys\n"
        "print('registry-storage-picky: bucket: is missing', file=sys.stderr)\n"
        "raise SystemExit(78)\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    running = up("--driver", "picky")
    _, err = running.process.communicate(timeout=WAIT_S)
    assert running.process.returncode == 4
    assert b"bucket: is missing" in err


def test_a_clean_stop_leaves_no_socket_and_no_lock(up: Any, tmp_path: Path) -> None:
    running = up("--endpoint", f"ipc://{tmp_path}/bus/clients", "--workers", "1")
    running.line()
    assert {p.name for p in (tmp_path / "bus").iterdir()} == {"clients", "clients.lock"}
    assert running.stop()[0] == 0
    assert list((tmp_path / "bus").iterdir()) == []


def test_parameters_are_checked_before_anything_is_started(up: Any) -> None:
    running = up("--driver", "s3", "--parameters", '{"region": "us-east-1"}')
    _, err = running.process.communicate(timeout=WAIT_S)
    assert running.process.returncode == 4
    assert err.decode() == (
        "storagebus: services.default: the parameter 'bucket' is required\n"
    )


def test_a_driver_that_cannot_start_is_told_in_a_line(
    up: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "registry-storage-broken"
    program.write_text(
        f"#!{sys.executable}\nraise ValueError('the bucket is missing')\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    running = up("--driver", "broken")
    _, err = running.process.communicate(timeout=WAIT_S)
    assert running.process.returncode == 7
    first, last = err.decode().splitlines()
    assert "worker default: process 2 exited with code 1" in first
    assert first.endswith("before it was ready: ValueError: the bucket is missing")
    assert last == (
        "storagebus: unavailable: worker default: exited with code 1 before it was "
        "ready: ValueError: the bucket is missing; --log-level info shows all that it "
        "writes"
    )


def brokers_of(running: Any) -> list[psutil.Process]:
    return [
        process
        for process in descendants(running.process.pid)
        if " broker " in " ".join(process.cmdline())
    ]


def test_two_brokers_and_one_is_killed(up: Any) -> None:
    running = up("--brokers", "2", "--workers", "2")
    endpoint = running.line().rpartition(" ")[2].strip()
    addresses = endpoint.split(",")
    assert len(addresses) == 2
    data = os.urandom(3_000_000)
    with Client(addresses, deadline=WAIT_S) as client:
        client.put_content("/a", data)
        for broker in brokers_of(running):
            broker.kill()
            assert client.get_content("/a") == data
            for address in addresses:  # each has both workers, in the end
                with Client(address, deadline=WAIT_S) as one:
                    until(lambda one=one: ready_workers(one) == 2)  # type: ignore[misc]
    assert running.stop()[0] == 0


def ready_workers(client: Client) -> int:
    try:
        service = client.bus_status()["services"]["default"]
    except (StorageError, KeyError):
        return 0
    return sum(worker["state"] == "ready" for worker in service["workers"])


@pytest.mark.slow
def test_a_broker_that_stands_still_is_replaced(
    up: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = up("--workers", "1")
    endpoint = running.line().rpartition(" ")[2].strip()
    (broker,) = brokers_of(running)
    broker.suspend()
    with Client(endpoint, deadline=40.0) as client:
        assert client.list("/") == []
        # Told to end, it is woken too: it may have been the one that answered, and
        # is still on its way out.
        until(lambda: gone([broker]))
        assert client.list("/") == []
        (successor,) = brokers_of(running)
        assert successor.pid != broker.pid
    assert running.stop()[0] == 0
