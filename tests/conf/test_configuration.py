import errno
import json
import os
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

import pytest

BAD = """[broker]
client = "ipc:///c"
[services.default]
driver = "filesystem"
wrong = 1
"""


def test_check_of_a_good_file(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "good.toml"
    path.write_text('[broker]\nclients = "ipc:///run/c"\n')
    ran = run("conf", "check", str(path))
    assert (ran.code, ran.out, ran.err) == (0, f"{path}: no problems\n", "")
    ran = run("conf", "check", "--json", str(path))
    assert (ran.code, ran.out) == (0, "")


def test_check_prints_every_problem_on_a_line(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(BAD)
    ran = run("conf", "check", str(path))
    assert ran.code == 4
    first, second = ran.out.splitlines()
    assert first.startswith(f"{path}:2: broker.client: unknown key 'client'; did you")
    assert second.startswith(f"{path}:5: services.default.wrong: unknown key")
    assert ran.err == f"storagebus: invalid parameter: 2 problems in {path}\n"


def test_a_file_from_which_nothing_can_be_run(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "storagebus.toml"
    for text in ("", "# nothing\n", "[broker]\nheartbeat_ms = 5000\n"):
        file.write_text(text)
        ran = run("conf", "check", str(file))
        assert ran.code == 4
        said = f"{file}: services: no service is configured; add [services.NAME]\n"
        assert ran.out == said
    assert run("up", "--config", str(file)).code == 4
    file.write_text("[broker]\nclients = 'ipc:///tmp/c'\n")
    assert run("conf", "check", str(file)).code == 0  # a broker of its own


def test_check_in_json(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(BAD)
    ran = run("conf", "check", "--json", str(path))
    assert ran.code == 4
    found = [json.loads(line) for line in ran.out.splitlines()]
    assert [(problem["line"], problem["key"]) for problem in found] == [
        (2, "broker.client"),
        (5, "services.default.wrong"),
    ]


@pytest.mark.parametrize(
    "args", [["conf", "check"], ["conf", "show", "--config"], ["broker", "--config"]]
)
def test_a_file_that_may_not_be_read_is_access_denied(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str]
) -> None:
    """Also where a look beforehand would find it so, as click's does."""
    path = tmp_path / "bus.toml"
    path.write_text("[broker]\n")

    def denied(*_: object) -> NoReturn:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "open", denied)
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    ran = run(*args, str(path))
    assert ran.code == 5
    assert ran.err.startswith("storagebus: access denied: ")


def test_check_of_no_file(run: Any, tmp_path: Path) -> None:
    assert run("conf", "check", str(tmp_path / "missing")).code == 3


def test_commands_that_use_a_bad_file_print_every_problem(
    run: Any, tmp_path: Path
) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(BAD)
    for command in ("up", "broker", "conf show"):
        ran = run(*command.split(), "--config", str(path))
        assert ran.code == 4
        assert ran.err.count(f"storagebus: {path}:") == 2


def test_show(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f.toml"
    path.write_text("""
    [services.files]
    driver = "filesystem"
    parameters = { rootdirectory = "/data" }
    [services.cloud]
    driver = "acme"
    parameters = { region = "r", key = { env = "KEY" }, password = "hunter2" }
    """)
    monkeypatch.setenv("STORAGEBUS_BROKER_ID", "from-environment")
    monkeypatch.setenv("KEY", "hunter3")
    ran = run("conf", "show", "--config", str(path))
    assert ran.code == 0
    assert "hunter" not in ran.out
    found = tomllib.loads(ran.out)
    assert found["broker"]["id"] == "from-environment"
    assert found["services"]["cloud"]["parameters"] == {
        "key": {"env": "KEY"},
        "password": "(redacted)",
        "region": "r",
    }
    assert json.loads(run("conf", "show", "--config", str(path), "--json").out) == found


def test_show_of_the_reference(run: Any) -> None:
    reference = files("storagebus.conf").joinpath("reference.toml").read_text("utf-8")
    assert run("conf", "show", "--reference").out == reference
    assert run("conf", "show", "--reference", "--json").code == 2
