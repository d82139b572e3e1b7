"""What `storagebus conf supervisor` renders, read by supervisord's own parser."""

from __future__ import annotations

import os
import random
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from supervisor.options import ServerOptions

from storagebus.conf.load import load
from storagebus.conf.supervisor import render
from storagebus.drivers.errors import StorageError
from storagebus.workers import drain, serving, spawned

CONFIGURATION = """
[broker]
clients = "tcp://127.0.0.1:7400"
[services.files]
driver = "filesystem"
workers = 3
parameters = { rootdirectory = "/srv/files" }
[services.scratch-1]
driver = "inmemory"
[services.acme]
driver = "acme"
workers = 2
parameters = { region = "r", password = { env = "PASSWORD" }, token = "in-the-file" }
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "bin" / "registry-storage-acme"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    path = tmp_path / "bus.toml"
    path.write_text(CONFIGURATION)
    return path


def parsed(text: str, folder: Path) -> Any:
    """The options of a supervisord that has read it."""
    path = folder / "supervisord.conf"
    path.write_text(text)
    options = ServerOptions()
    options.realize(["-c", str(path)])
    assert not options.parse_warnings
    return options


def programs(options: Any) -> dict[str, list[Any]]:
    return {
        group.name: group.process_configs for group in options.process_group_configs
    }


def test_supervisord_reads_it(run: Any, config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    ran = run("conf", "supervisor", "--config", str(config), "--directory", str(folder))
    assert (ran.code, ran.err) == (0, "")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    options = parsed(ran.out, tmp_path)
    found = programs(options)
    assert {name: len(members) for name, members in found.items()} == {
        "storagebus-broker": 1,
        "storagebus-worker-files": 3,
        "storagebus-worker-scratch-1": 1,
        "storagebus-worker-acme": 2,
        "storagebus-health-listener": 1,
    }
    names = [member.name for member in found["storagebus-worker-files"]]
    assert names == ["worker-files-1", "worker-files-2", "worker-files-3"]
    (server,) = options.server_configs
    assert server["file"] == str(folder / "supervisor.sock")
    assert server["chmod"] == 0o700
    assert options.pidfile == str(folder / "supervisord.pid")
    assert options.logfile == str(folder / "supervisord.log")


def test_it_fits_what_the_processes_do(config: Path, tmp_path: Path) -> None:
    options = parsed(render(load(config, {}, hosts=()), config, tmp_path), tmp_path)
    groups = {group.name: group for group in options.process_group_configs}
    # The broker is first and last; the listener does not see the others drain.
    order = [group.name for group in sorted(groups.values(), key=lambda g: g.priority)]
    assert order[0] == "storagebus-broker"
    assert order[-1] == "storagebus-health-listener"
    drains_s = spawned.GRACE_S_DEFAULT + drain.FINAL_S + serving.CLOSE_S
    logs = set()
    for group in groups.values():
        for process in group.process_configs:
            assert process.autorestart.__name__ == "RestartUnconditionally"
            assert process.stopsignal.name == "SIGTERM"
            assert process.killasgroup
            assert not process.stopasgroup
            if "worker" in group.name:
                assert process.stopwaitsecs > drains_s
            log = process.stdout_logfile or process.stderr_logfile
            assert Path(log).parent == tmp_path
            logs.add(log)
    assert len(logs) == 8
    assert (
        groups["storagebus-health-listener"].process_configs[0].stdout_logfile is None
    )


def test_command_lines_say_what_they_are(config: Path, tmp_path: Path) -> None:
    options = parsed(render(load(config, {}, hosts=()), config, tmp_path), tmp_path)
    for name, members in programs(options).items():
        for process in members:
            words = shlex.split(process.command)
            assert Path(words[0]).is_file()
            command = words[words.index("storagebus.conf") + 1]
            expected = name.split("-")[1]
            assert command == {"health": "conf"}.get(expected, expected)
            if expected == "worker":
                assert words[words.index("worker") + 1] == name.split("-", 2)[2]
                assert process.environment["STORAGEBUS_WORKER_NAME"] == process.name


def test_secrets_are_not_in_it(config: Path, tmp_path: Path) -> None:
    text = render(load(config, {"PASSWORD": "hush-hush"}), config, tmp_path)
    for secret in ("hush-hush", "in-the-file", "PASSWORD", "password"):
        assert secret not in text


def test_doors_that_the_file_has_are_the_file_s(config: Path, tmp_path: Path) -> None:
    text = render(load(config, {}, hosts=()), config, tmp_path)
    options = parsed(text, tmp_path)
    for members in programs(options).values():
        for process in members:
            environment = process.environment
            assert "STORAGEBUS_BROKER_CLIENTS" not in environment
            workers = environment["STORAGEBUS_BROKER_WORKERS"]
            assert workers == f"ipc://{tmp_path}/workers"
    assert "; Clients connect to tcp://127.0.0.1:7400\n" in text


def test_a_large_bus_has_descriptors_for_its_pipes(tmp_path: Path) -> None:
    path = tmp_path / "bus.toml"
    path.write_text(
        "".join(
            f"[services.s{n}]\ndriver = 'filesystem'\nworkers = 256\n"
            f"parameters = {{ rootdirectory = '/srv/{n}' }}\n"
            for n in range(4)
        )
    )
    options = parsed(render(load(path, {}, hosts=()), path, tmp_path), tmp_path)
    assert options.minfds >= 3 * 4 * 256


def test_names_and_paths_of_every_shape(tmp_path: Path) -> None:
    """What is not refused arrives."""
    chance = random.Random(11)
    letters = "ab A.-_+,=;#()&$!\\äß%'\"[]{}:@~"
    accepted = 0
    for turn in range(300):
        name = "".join(chance.choices(letters, k=chance.randint(1, 8)))
        folder = tmp_path / f"{turn}" / name
        path = folder / "bus.toml"
        folder.mkdir(parents=True)
        path.write_text(CONFIGURATION.partition("[services.acme]")[0])
        try:
            text = render(load(path, {}, hosts=()), path, folder)
        except StorageError as error:
            assert "supervisord" in str(error) or "Unix socket" in str(error)
            continue
        accepted += 1
        options = parsed(text, folder)
        for members in programs(options).values():
            for process in members:
                assert shlex.split(process.command)[-1] == str(path)
                address = process.environment["STORAGEBUS_BROKER_WORKERS"]
                assert address == f"ipc://{folder}/workers"
                log = process.stdout_logfile or process.stderr_logfile
                assert Path(log).parent == folder
    assert accepted > 50


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no service is configured"),
        (
            "[services.a]\ndriver = 'inmemory'\nworkers = 2\n",
            "services.a.workers: driver 'inmemory' keeps its objects in one process",
        ),
        ("[services.a]\ndriver = 'no-such'\n", "no such storage driver"),
        (
            "[broker]\nclients = 'tcp://127.0.0.1:0'\n"
            "[services.a]\ndriver = 'inmemory'\n",
            "broker.clients: endpoint 'tcp://127.0.0.1:0': a port is needed",
        ),
        (
            "[broker]\nworkers = 'tcp://*:7401'\nallow_unauthenticated_network = true\n"
            "[services.a]\ndriver = 'inmemory'\n",
            "broker.workers: endpoint 'tcp://*:7401': a host is needed",
        ),
        ("[services.a]\n", "'driver' is missing"),
    ],
)
def test_what_cannot_be_supervised(
    run: Any, tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "bus.toml"
    path.write_text(text)
    ran = run("conf", "supervisor", "--config", str(path), "--directory", str(tmp_path))
    assert (ran.code, ran.out) == (4, "")
    assert words in ran.err


def test_a_long_directory(run: Any, config: Path, tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100)
    ran = run("conf", "supervisor", "--config", str(config), "--directory", str(folder))
    assert (ran.code, ran.out) == (4, "")
    assert "choose a shorter one" in ran.err
    assert not folder.exists()


def test_a_directory_that_cannot_be_made_here(
    run: Any, config: Path, tmp_path: Path
) -> None:
    """It may be rendered for another machine."""
    (tmp_path / "file").write_bytes(b"")
    folder = tmp_path / "file" / "run"
    ran = run("conf", "supervisor", "--config", str(config), "--directory", str(folder))
    assert ran.code == 0
    assert f"{folder} cannot be made here" in ran.err
    assert "[supervisord]" in ran.out


def test_paths_are_made_absolute(
    run: Any, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(config.parent)
    ran = run("conf", "supervisor", "--config", config.name, "--directory", "here")
    assert f" --config {config}\n" in ran.out
    assert f"\npidfile={config.parent}/here/supervisord.pid\n" in ran.out


def test_the_listener_by_hand(config: Path) -> None:
    """It is of no use, and says so."""
    done = subprocess.run(
        [sys.executable, "-m", "storagebus.conf", "conf", "listener"],
        env={**os.environ, "STORAGEBUS_CONFIG": str(config)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
    )
    assert (done.returncode, done.stdout) == (4, b"")
    assert b"started by supervisord" in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_several_brokers(run: Any, config: Path, tmp_path: Path) -> None:
    config.write_text(
        CONFIGURATION.replace(
            'clients = "tcp://127.0.0.1:7400"',
            'processes = 2\nclients = ["tcp://127.0.0.1:7400", "tcp://127.0.0.1:7401"]',
        )
    )
    folder = tmp_path / "made"
    ran = run("conf", "supervisor", "--config", str(config), "--directory", str(folder))
    assert (ran.code, ran.err) == (0, "")
    options = parsed(ran.out, tmp_path)
    brokers = programs(options)["storagebus-broker"]
    assert [broker.name for broker in brokers] == ["broker-1", "broker-2"]
    assert [broker.command.split()[-2:] for broker in brokers] == [
        ["--number", "1"],
        ["--number", "2"],
    ]
    doors = f"ipc://{folder}/workers-1,ipc://{folder}/workers-2"
    assert f'STORAGEBUS_BROKER_WORKERS="{doors}"' in ran.out
