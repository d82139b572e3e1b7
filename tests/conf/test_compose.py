from pathlib import Path

import pytest

from storagebus.broker.settings import BrokerSettings
from storagebus.conf.check import check
from storagebus.conf.compose import broker_settings, broker_specs, worker_spec
from storagebus.conf.schema import Configuration
from storagebus.workers.children import Readiness

DOCUMENT = {
    "broker": {
        "clients": ["ipc:///c1", "ipc:///c2"],
        "workers": "ipc:///w",
        "id": "me",
        "heartbeat_ms": 77,
        "streams_max": 5,
        "client_streams_max": 4,
        "pool_bytes": 2_000_000,
        "queue_calls_max": 3,
        "queue_bytes_max": 100_000,
    },
    "services": {
        "files": {
            "driver": "filesystem",
            "workers": 3,
            "slots": 7,
            "streams": 9,
            "lane_bytes_max": 0,
            "parameters": {"rootdirectory": "/r"},
        },
        "cloud": {
            "driver": "acme",
            "parameters": {"region": "r", "key": {"env": "ACME_KEY"}},
        },
    },
}
ENVIRON = {
    "ACME_KEY": "hush-hush",
    "STORAGEBUS_SERVICES_FILES_SLOTS": "8",
    "OTHER": "x",
}


@pytest.fixture
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configuration:
    program = tmp_path / "registry-storage-acme"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return check(DOCUMENT, {}, "/etc/bus.toml", ENVIRON)


def test_the_broker_s_settings(configuration: Configuration) -> None:
    assert broker_settings(configuration, ["more", "files"]) == BrokerSettings(
        clients=("ipc:///c1", "ipc:///c2"),
        workers=("ipc:///w",),
        broker_id="me",
        services=("files", "cloud", "more"),
        heartbeat_ms=77,
        streams_max=5,
        client_streams_max=4,
        pool_bytes=2_000_000,
        queue_calls_max=3,
        queue_bytes_max=100_000,
    )


def test_the_broker_s_process(configuration: Configuration) -> None:
    (spec,) = broker_specs(configuration, ENVIRON, grace_s=5)
    text = " ".join(spec.argv)
    assert " broker --config /etc/bus.toml --clients ipc:///c1,ipc:///c2 " in text
    assert "--service files --service cloud" in text
    assert spec.ready is Readiness.TOLD
    assert spec.instances == 1
    assert spec.wave == 0
    # The broker sees neither the secrets nor what was settled already.
    assert spec.env == {"ACME_KEY": None, "STORAGEBUS_SERVICES_FILES_SLOTS": None}


def test_a_driver_of_this_python(configuration: Configuration) -> None:
    spec = worker_spec(
        configuration, configuration.services["files"], ENVIRON, grace_s=5
    )
    assert spec.argv[4:9] == (
        "worker",
        "files",
        "--driver",
        "filesystem",
        "--parameters",
    )
    assert spec.argv[9] == '{"rootdirectory":"/r"}'
    assert spec.instances == 3
    assert spec.env["STORAGEBUS_WORKER_SLOTS"] == "8"
    assert spec.env["STORAGEBUS_WORKER_STREAMS"] == "9"
    assert spec.env["STORAGEBUS_WORKER_LANE_BYTES"] == "0"
    assert spec.env["STORAGEBUS_WORKER_ENDPOINT"] == "ipc:///w"
    assert spec.env["ACME_KEY"] is None
    assert spec.wave > 0


def test_an_executable(configuration: Configuration, tmp_path: Path) -> None:
    spec = worker_spec(
        configuration, configuration.services["cloud"], ENVIRON, grace_s=5
    )
    assert spec.argv == (
        str(tmp_path / "registry-storage-acme"),
        '{"region":"r","key":{"$secret":"key"}}',
    )
    assert spec.secrets == {"key": "hush-hush"}
    assert spec.env["ACME_KEY"] is None
    assert "hush" not in repr(spec)
