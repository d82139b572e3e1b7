from pathlib import Path

import pytest

from storagebus.conf.load import FILE_BYTES_MAX, load
from storagebus.conf.problems import ConfigurationError
from storagebus.drivers.errors import PathConflictError, PathNotFoundError

GOOD = """
[broker]
clients = "ipc:///run/storagebus/clients"
workers = ["ipc:///run/storagebus/workers", "tcp://127.0.0.1:7401"]

[services.default]
driver = "filesystem"
workers = 2
slots = 4
[services.default.parameters]
rootdirectory = "/var/lib/registry"
"""


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "conf.toml"
    path.write_text(GOOD)
    found = load(path, {})
    assert found.origin == str(path)
    assert found.broker.clients == ("ipc:///run/storagebus/clients",)
    assert found.broker.workers[1] == "tcp://127.0.0.1:7401"
    service = found.services["default"]
    assert (service.driver, service.workers, service.slots) == ("filesystem", 2, 4)
    assert (service.streams, service.lane_bytes_max) == (1024, 67_108_864)
    assert service.parameters == {"rootdirectory": "/var/lib/registry"}


def test_no_file_is_an_empty_one() -> None:
    found = load(None, {"STORAGEBUS_BROKER_CLIENTS": "tcp://127.0.0.1:7400"})
    assert found.broker.clients == ("tcp://127.0.0.1:7400",)
    assert found.services == {}


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"[broker]\nclients = \n", 2, "not valid TOML: Invalid value"),
        (b"[broker]\nid = 'a", 2, "not valid TOML"),
        (b"[broker]\n\nid = 1\nid = 2\n", 4, "not valid TOML: Cannot overwrite"),
        (b"[broker]\nid = '\xff'\n", 2, "not text in UTF-8"),
        (b"#" * (FILE_BYTES_MAX + 1), None, "longer than 1048576 bytes"),
    ],
)
def test_what_is_no_toml(
    tmp_path: Path, content: bytes, line: int | None, message: str
) -> None:
    path = tmp_path / "conf.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load(path, {})
    (problem,) = caught.value.problems
    assert (problem.origin, problem.line) == (str(path), line)
    assert message in problem.message


def test_windows_line_ends_count_as_one(tmp_path: Path) -> None:
    path = tmp_path / "conf.toml"
    path.write_bytes(b"[broker]\r\n\r\nwrong = 1\r\n")
    with pytest.raises(ConfigurationError) as caught:
        load(path, {})
    assert [problem.line for problem in caught.value.problems] == [3]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError, match=r"missing\.toml"):
        load(tmp_path / "missing.toml", {})
    with pytest.raises(PathConflictError):
        load(tmp_path, {})
