"""Who serves another driver loads no SDK, not even by the way."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SDKS = ("azure", "boto3", "botocore", "msal", "requests", "urllib3")
HOSTS = {
    "in this process": """
from storagebus.drivers import create
with create("filesystem", {"rootdirectory": sys.argv[1]}) as driver:
    driver.put_content("/a", b"x")
    with driver.writer("/b") as upload:
        upload.commit()
    assert [info.path for info in driver.walk("/")] == ["/a", "/b"]
""",
    "through a bus": """
import storagebus.conf.main
from storagebus.client import Client
with Client("ipc:///nowhere", deadline=0.1):
    pass
""",
}


@pytest.mark.parametrize("host", HOSTS)
def test_a_process_without_clouds_loads_no_sdk(host: str, tmp_path: Path) -> None:
    check = f"""
import sys
{HOSTS[host]}
loaded = sorted({{name.partition(".")[0] for name in sys.modules}} & {{*{SDKS!r}}})
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", check, str(tmp_path)], check=True, timeout=60)


def test_a_worker_of_another_driver_loads_no_sdk(tmp_path: Path) -> None:
    """The real process, asked by Python itself what it has imported."""
    config = tmp_path / "storagebus.toml"
    doors = {side: f"ipc://{tmp_path}/{side}" for side in ("clients", "workers")}
    parameters = {"rootdirectory": str(tmp_path / "data")}
    config.write_text(
        f"[broker]\nclients = {json.dumps(doors['clients'])}\n"
        f"workers = {json.dumps(doors['workers'])}\n"
        '[services.default]\ndriver = "filesystem"\n'
        f"[services.default.parameters]\nrootdirectory = "
        f"{json.dumps(parameters['rootdirectory'])}\n"
    )
    errors = (tmp_path / "imports").open("w+")
    storagebus = Path(sys.executable).with_name("storagebus")
    command = [sys.executable, "-X", "importtime", str(storagebus)]
    given = ["--config", str(config)]
    broker = subprocess.Popen([str(storagebus), "broker", *given])
    worker = subprocess.Popen([*command, "worker", "default", *given], stderr=errors)
    try:
        subprocess.run(
            [str(storagebus), "ready", "--endpoint", doors["clients"], "--timeout",
             "30"],
            check=True, timeout=60, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        subprocess.run(
            [str(storagebus), "put", "-", "/a", "--endpoint", doors["clients"]],
            check=True, timeout=60, input=b"x", stdout=subprocess.DEVNULL,
        )  # fmt: skip
    finally:
        for process in (worker, broker):
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
    errors.seek(0)
    imported = {
        line.rpartition("|")[2].strip().partition(".")[0]
        for line in errors
        if line.startswith("import time:")
    }
    errors.close()
    assert "storagebus" in imported and "zmq" in imported
    assert not imported & set(SDKS)
