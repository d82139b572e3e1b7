"""The distribution: what pyproject.toml lists is what is there."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.resources
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOMS = ("broker", "client", "conf", "drivers", "workers")
PACKAGES = PROJECT["tool"]["setuptools"]["packages"]


def test_every_package_is_listed() -> None:
    """A forgotten one is missed by nobody until the wheel is installed."""
    on_disk = [
        ".".join(("storagebus", *path.parent.relative_to(ROOT).parts))
        for room in ROOMS
        for path in (ROOT / room).rglob("__init__.py")
    ]
    assert sorted(PACKAGES) == sorted(on_disk)


def test_the_folders_are_the_rooms() -> None:
    tracked = subprocess.run(
        ["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=False
    )
    if tracked.returncode:
        folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
        assert folders == set(ROOMS)
        return
    folders = {
        line.partition("/")[0] for line in tracked.stdout.splitlines() if "/" in line
    }
    assert {name for name in folders if not name.startswith(".")} == {*ROOMS, "tests"}


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import(package: str) -> None:
    importlib.import_module(package)


@pytest.mark.parametrize("room", ROOMS)
def test_types_are_shipped(room: str) -> None:
    marker = importlib.resources.files(f"storagebus.{room}") / "py.typed"
    assert marker.is_file()


def test_the_reference_configuration_is_shipped() -> None:
    reference = importlib.resources.files("storagebus.conf") / "reference.toml"
    tomllib.loads(reference.read_text())


def entry_points() -> list[importlib.metadata.EntryPoint]:
    return list(importlib.metadata.distribution("storagebus").entry_points)


def test_entry_points_are_those_of_the_project() -> None:
    """An editable install that is out of date would test something else."""
    project = PROJECT["project"]
    groups = {"console_scripts": project["scripts"], **project["entry-points"]}
    listed = {(g, n, v) for g, items in groups.items() for n, v in items.items()}
    assert {(e.group, e.name, e.value) for e in entry_points()} == listed


@pytest.mark.parametrize("entry", entry_points(), ids=lambda entry: entry.name)
def test_entry_points_resolve(entry: importlib.metadata.EntryPoint) -> None:
    assert callable(entry.load())


def test_commands_are_installed() -> None:
    scripts = sysconfig.get_path("scripts")
    for name in PROJECT["project"]["scripts"]:
        assert shutil.which(name, path=scripts), name


def test_version() -> None:
    version = PROJECT["project"]["version"]
    assert importlib.metadata.version("storagebus") == version
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert version in changes or "Unreleased" in changes


def test_storagebus_is_a_namespace() -> None:
    """No file of ours lies in it: others may put packages beside ours."""
    import storagebus

    assert getattr(storagebus, "__file__", None) is None


def test_nothing_else_is_installed() -> None:
    """One name in site-packages, not five that others use as well."""
    code = "import broker"
    ran = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True)
    assert ran.returncode != 0
