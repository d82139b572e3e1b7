"""The option --faults: plans reach the workers, wrong ones do not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from running_bus import running_bus

from storagebus.client import Client
from storagebus.conf.main import main
from storagebus.drivers.errors import AccessDeniedError


@pytest.mark.parametrize("command", [["up"], ["worker", "default"]])
def test_a_wrong_plan_is_a_wrong_use(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--faults", '{"rules": [{"kind": "bang"}]}']) == 2
    assert "'--faults': plan of faults: rules[0].kind: must be" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("driver", ["filesystem", "acme"])
def test_up_gives_it_to_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: str
) -> None:
    """To those of this Python, and to executables."""
    if driver == "acme":
        program = tmp_path / "registry-storage-acme"
        program.write_text(
            f"#!{sys.executable}\n"
            "from storagebus.drivers.filesystem import FilesystemDriver\n"
            "from storagebus.workers import serve\n"
            "serve(FilesystemDriver)\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    rules = [{"kind": "error", "error": "ACCESS_DENIED", "operations": ["list"]}]
    options = ["--faults", json.dumps({"rules": rules})]
    root = {"rootdirectory": str(tmp_path / "root")}
    with (
        running_bus(driver, root, 1, options) as endpoint,
        Client(endpoint) as client,
    ):
        client.put_content("/a", b"x")
        with pytest.raises(AccessDeniedError, match="a fault on purpose"):
            client.list("/")
        assert client.get_content("/a") == b"x"


def test_a_worker_by_hand_is_loud_about_it(tmp_path: Path) -> None:
    plan = '{"rules": [{"kind": "exit"}], "seed": 77}'
    worker = subprocess.Popen(
        [
            *(sys.executable, "-m", "storagebus.conf", "worker", "default"),
            *("--driver", "inmemory", "--endpoint", f"ipc://{tmp_path}/w"),
            *("--faults", plan),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert worker.stderr is not None
    line = worker.stderr.readline()
    worker.terminate()
    worker.communicate(timeout=20)
    assert "FAULTS ON PURPOSE: this worker fails by a plan of 1 rules, seed 77" in line
