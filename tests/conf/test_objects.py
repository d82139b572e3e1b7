import json
import random
from datetime import datetime
from typing import Any

import pytest

CONTENT = random.Random(3).randbytes(3 << 20)


def test_stat_in_json_is_what_the_contract_says(run: Any) -> None:
    run.store.put_content("/a/b", b"12345")
    ran = run("stat", "--json", "/a/b", "/a")
    assert ran.code == 0
    of_object, of_directory = map(json.loads, ran.out.splitlines())
    info = run.store.stat("/a/b")
    assert of_object == {
        "path": "/a/b",
        "size": 5,
        "mod_time": info.mod_time.isoformat(),
        "is_dir": False,
        "identity": info.identity,
    }
    assert datetime.fromisoformat(of_object["mod_time"]).tzinfo is not None
    assert of_directory == {
        "path": "/a",
        "size": 0,
        "mod_time": None,
        "is_dir": True,
        "identity": None,
    }


def test_stat_for_people(run: Any) -> None:
    run.store.put_content("/a/b", b"12345")
    ran = run("stat", "/a/b")
    assert "path:     /a/b\nkind:     object\nsize:     5\nmod_time: " in ran.out
    assert "kind:     directory" in run("stat", "/a").out


def test_stat_of_several_stops_at_the_first_that_is_missing(run: Any) -> None:
    run.store.put_content("/a", b"1")
    ran = run("stat", "--json", "/a", "/missing", "/a")
    assert ran.code == 3
    assert len(ran.out.splitlines()) == 1
    assert ran.err == "storagebus: inmemory: path not found: /missing\n"


@pytest.mark.parametrize(
    ("args", "start", "end"),
    [
        ([], 0, None),
        (["--offset", "1000"], 1_000, None),
        (["--length", "10"], 0, 10),
        (["--offset", "17", "--length", "2000000"], 17, 2_000_017),
        (["--offset", "99999999"], len(CONTENT), None),
        (["--length", "0"], 0, 0),
    ],
)
def test_cat(run: Any, args: list[str], start: int, end: int | None) -> None:
    run.store.put_content("/a", CONTENT)
    ran = run("cat", *args, "/a")
    assert ran.code == 0
    assert ran.raw == CONTENT[start:end]


def test_cat_of_several(run: Any) -> None:
    run.store.put_content("/a", b"\xff\x00")
    run.store.put_content("/b", b"\n")
    assert run("cat", "/a", "/b", "/a").raw == b"\xff\x00\n\xff\x00"


@pytest.mark.parametrize("option", ["--offset", "--length"])
def test_a_negative_offset_is_the_contract_s_error(run: Any, option: str) -> None:
    run.store.put_content("/a", b"1")
    ran = run("cat", option, "-3", "/a")
    assert ran.code == 4
    assert "invalid offset" in ran.err


def test_mv(run: Any) -> None:
    run.store.put_content("/a", b"1")
    run.store.put_content("/b", b"2")
    assert run("mv", "/a", "/b").code == 0
    assert run.store.get_content("/b") == b"1"
    ran = run("mv", "/a", "/b")
    assert (ran.code, ran.out) == (3, "")


def test_rm(run: Any) -> None:
    for path in ("/a", "/b", "/dir/c", "/directory"):
        run.store.put_content(path, b"1")
    assert run("rm", "/a", "/b").code == 0
    ran = run("rm", "/dir")
    assert ran.code == 1
    assert "-r deletes it" in ran.err
    assert run.store.get_content("/dir/c") == b"1"
    assert run("rm", "-r", "/dir").code == 0
    assert run.store.list("/") == ["/directory"]
    assert run("rm", "/dir").code == 3
    assert run("rm", "-r", "/").code == 4


def test_rm_drops_a_kept_upload(run: Any) -> None:
    upload = run.store.writer("/a")
    upload.write(b"1")
    upload.close()
    assert run("rm", "/a").code == 0
    assert run("rm", "/a").code == 3


class WithUrls:
    """A store that makes URLs."""

    name = "urls"

    def redirect_url(self, path: str, method: str, expires: int) -> str:
        return f"https://host{path}?{method}&{expires}"


def test_url(run: Any) -> None:
    run.store = WithUrls()
    ran = run("url", "/a", "--method", "HEAD", "--expires", "60")
    assert ran.out == "https://host/a?HEAD&60\n"
    assert json.loads(run("url", "/a", "--json").out) == {
        "path": "/a",
        "method": "GET",
        "url": "https://host/a?GET&1200",
    }


def test_a_store_without_urls(run: Any) -> None:
    ran = run("url", "/a")
    assert (ran.code, ran.out) == (1, "")
    assert "this driver makes no URLs" in ran.err
    assert run("url", "/a", "--expires", "0").code == 4
    assert run("url", "bad").code == 4


@pytest.mark.parametrize("command", ["stat", "cat", "rm", "url", "ls", "walk"])
@pytest.mark.parametrize("path", ["no-slash", "/a/", "/a/../b", "/a b", "//a", ""])
def test_a_path_outside_the_grammar(run: Any, command: str, path: str) -> None:
    ran = run(command, path)
    assert ran.code == 4
    assert "invalid path" in ran.err
