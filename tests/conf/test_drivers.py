from pathlib import Path

import pytest

from storagebus.conf.drivers import facts
from storagebus.drivers.errors import InvalidStorageDriverError
from storagebus.workers.references import PUBLIC_NAMES


def test_a_driver_of_this_package() -> None:
    found = facts("filesystem")
    assert found.executable is None
    assert found.shared is True
    assert "rootdirectory" in found.public
    assert found.check({"rootdirectory": "/x"}) == {}
    assert set(found.check({"rootdirectory": 3})) == {"rootdirectory"}
    assert facts("inmemory").shared is False


@pytest.mark.parametrize(
    ("driver", "given", "wrong"),
    [
        ("s3", {}, {"": "the parameter 'region' is required; "
                        "the parameter 'bucket' is required"}),
        ("s3", {"region": "us-east-1", "bucket": "b"}, {}),
        ("s3", {"region": "us-east-1", "bucket": "b", "chunksize": "x"},
         {"chunksize": "must be a whole number"}),
        ("s3", {"region": "us-east-1", "bucket": "b", "accesskey": "a"},
         {"": "'accesskey' and 'secretkey' must be given together, or neither"}),
        ("azure", {"container": "registry", "accountkey": "a2V5"},
         {"": "parameter 'accountname' is required (or 'connectionstring'); "
              "credentials of type 'shared_key' need 'accountname'"}),
    ],
)  # fmt: skip
def test_parameters_of_a_cloud_driver(
    driver: str, given: dict[str, object], wrong: dict[str, str]
) -> None:
    assert facts(driver).check(given) == wrong


def test_what_lacks_a_secret_is_not_checked_together() -> None:
    given = {"region": "us-east-1", "bucket": "b", "accesskey": "a", "secretkey": ""}
    assert facts("s3").check(given, whole=False) == {}


def test_an_executable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "registry-storage-acme"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = facts("acme")
    assert found.executable == str(program)
    assert found.table is None
    assert found.shared is None
    assert found.public == PUBLIC_NAMES
    assert "secretkey" not in found.public
    assert found.check({"anything": object()}) == {}


def test_no_such_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidStorageDriverError, match="acme on PATH"):
        facts("acme")
