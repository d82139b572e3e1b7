import re
import tomllib
from dataclasses import fields
from importlib.resources import files
from pathlib import Path

import pytest

from storagebus.broker import settings
from storagebus.conf.load import load
from storagebus.conf.schema import BROKER_KEYS, SERVICE_KEYS, Broker, Service, addresses
from storagebus.drivers import create
from storagebus.drivers.parameters import REQUIRED

REFERENCE = files("storagebus.conf").joinpath("reference.toml").read_text("utf-8")


def test_the_tables_name_every_field() -> None:
    assert [key.name for key in BROKER_KEYS] == [field.name for field in fields(Broker)]
    names = {field.name for field in fields(Service)} - {"name", "references"}
    assert {key.name for key in SERVICE_KEYS} == names


def test_defaults_are_accepted_and_those_of_the_broker() -> None:
    for key in (*BROKER_KEYS, *SERVICE_KEYS):
        if key.default not in (REQUIRED, None, ()):
            assert key.parse(key.default) == key.default
    assert Broker().pool_bytes == settings.POOL_BYTES
    assert Broker().queue_calls_max == settings.QUEUE_CALLS_MAX
    assert Broker().heartbeat_ms == settings.HEARTBEAT_MS


def test_the_reference_has_every_key_with_its_default(tmp_path: Path) -> None:
    document = tomllib.loads(REFERENCE)
    assert set(document["broker"]) == {key.name for key in BROKER_KEYS}
    service = document["services"]["default"]
    assert set(service) == {key.name for key in SERVICE_KEYS}
    for key in BROKER_KEYS:
        if key.name not in ("clients", "workers"):
            assert document["broker"][key.name] == key.default
    for key in SERVICE_KEYS:
        if key.name not in ("driver", "parameters"):
            assert service[key.name] == key.default


def test_the_reference_loads_clean(tmp_path: Path) -> None:
    path = tmp_path / "storagebus.toml"
    path.write_text(REFERENCE)
    assert list(load(path, {}).services) == ["default"]


def test_the_services_in_the_clouds_work_when_their_marks_are_removed(
    tmp_path: Path,
) -> None:
    secret = tmp_path / "s3"
    secret.write_text("secret\n")
    text = re.sub(r"(?m)^#(?=[^ \n])", "", REFERENCE)
    assert text != REFERENCE
    path = tmp_path / "storagebus.toml"
    path.write_text(text.replace("/run/secrets/s3", str(secret)))
    found = load(path, {"S3_ACCESS_KEY": "key", "AZURE_CLIENT_SECRET": "secret"})
    assert list(found.services) == ["default", "s3", "azure"]
    for name in ("s3", "azure"):
        service = found.services[name]
        with create(service.driver, dict(service.parameters)) as driver:
            assert driver.name == service.driver == name


def test_every_key_of_the_reference_has_a_comment() -> None:
    commented = False
    for line in REFERENCE.splitlines():
        if line.startswith("#"):
            commented = True
        elif not line:
            commented = False
        else:
            assert commented, f"no comment above {line!r}"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("ipc:///a", ("ipc:///a",)),
        ("ipc:///a,tcp://127.0.0.1:1", ("ipc:///a", "tcp://127.0.0.1:1")),
        (["ipc:///a", "ipc:///b", "ipc:///a"], ("ipc:///a", "ipc:///b")),
        ("tcp://127.0.0.1:*", ("tcp://127.0.0.1:*",)),
    ],
)
def test_addresses(given: object, wanted: tuple[str, ...]) -> None:
    assert addresses(given) == wanted


@pytest.mark.parametrize("given", ["", [], "x", ["ipc:///a", 3], 7, "ipc:///a,,"])
def test_what_is_no_address(given: object) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        addresses(given)
