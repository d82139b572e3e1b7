"""A driver's executable, found on PATH and put into a specification."""

import json
from pathlib import Path

import pytest

from storagebus.drivers.errors import InvalidParameterError, InvalidStorageDriverError
from storagebus.workers.children import ProcessSpec
from storagebus.workers.executable import (
    KILL_MARGIN_S,
    executable_spec,
    find_executable,
)
from storagebus.workers.spawned import read_parameters, surroundings


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An executable registry-storage-acme, the only one on PATH."""
    program = tmp_path / "registry-storage-acme"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return program


def acme(**given: object) -> ProcessSpec:
    fields: dict[str, object] = {"endpoints": ["ipc:///a", "tcp://h:1"], "service": "s"}
    parameters = {"rootdirectory": "/data", "password": "hush hush"}
    return executable_spec("acme", parameters, **(fields | given))  # type: ignore[arg-type]


def test_the_child_reads_what_the_parent_wrote(program: Path) -> None:
    spec = acme(slots=3, streams=40, grace_s=7.5, instances=4, surge=False)
    assert spec.argv[0] == str(program)
    assert json.loads(spec.argv[1]) == {
        "rootdirectory": "/data",
        "password": {"$secret": "password"},
    }
    assert spec.secrets == {"password": "hush hush"}
    told = surroundings({name: value for name, value in spec.env.items() if value})
    assert told.endpoints == ("ipc:///a", "tcp://h:1")
    assert (told.service, told.slots, told.streams) == ("s", 3, 40)
    assert told.grace_s == 7.5
    # A child that drains for all of its grace is not killed for it.
    assert spec.grace_s == 7.5 + KILL_MARGIN_S
    assert (spec.name, spec.instances, spec.surge) == ("acme", 4, False)


def test_parameters_without_secrets_are_all_on_the_command_line(program: Path) -> None:
    spec = acme(public=["password"])
    whole = {"rootdirectory": "/data", "password": "hush hush"}
    assert read_parameters(spec.argv, {}) == whole
    assert spec.secrets == {}
    assert "hush" not in repr(acme())


def test_limits_that_are_not_given_are_the_childs_own(program: Path) -> None:
    assert not any("SLOTS" in name or "STREAMS" in name for name in acme().env)


def test_a_driver_without_an_executable_is_an_error_that_names_it() -> None:
    assert find_executable("no-such-driver") is None
    with pytest.raises(
        InvalidStorageDriverError, match="registry-storage-nope on PATH"
    ):
        executable_spec("nope", {}, endpoints=["ipc:///a"], service="s")


def test_a_wrong_number_of_instances_is_an_error(program: Path) -> None:
    with pytest.raises(InvalidParameterError, match="instances is 5000"):
        acme(instances=5_000)
