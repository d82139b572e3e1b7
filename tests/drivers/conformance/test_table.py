"""The table of requirements: its size, its names, and that each check can fail."""

from __future__ import annotations

import io
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from storagebus.drivers import Capabilities, FileInfo, StorageDriver, conformance
from storagebus.drivers.checked import Checked
from storagebus.drivers.conformance import REQUIREMENTS, Tier, choose
from storagebus.drivers.errors import PathNotFoundError, StorageError

PAGE = Path(__file__).parents[3] / "drivers" / "conformance.md"


def test_names_are_unique_and_dotted() -> None:
    names = [requirement.name for requirement in REQUIREMENTS]
    assert len(set(names)) == len(names) >= 200
    for name in names:
        assert re.fullmatch(r"[a-z]+\.[a-z0-9]+(-[a-z0-9]+)*", name), name


def test_each_requirement_is_stated_in_one_sentence() -> None:
    for requirement in REQUIREMENTS:
        sentence = requirement.sentence
        assert re.match(r"[A-Za-z0-9/]", sentence) and sentence.endswith("."), sentence
        assert ". " not in sentence.replace('"." ', ""), sentence


def test_needs_name_real_capabilities() -> None:
    known = {field.name for field in fields(Capabilities)}
    for requirement in REQUIREMENTS:
        assert {*requirement.needs, *requirement.without} <= known, requirement.name


def test_the_page_lists_every_requirement() -> None:
    listed = re.findall(r"^- `([a-z]+\.[a-z0-9-]+)`: (.*)$", PAGE.read_text(), re.M)
    assert dict(listed) == {one.name: one.sentence for one in REQUIREMENTS}


def test_requirements_are_chosen_by_name_topic_and_pattern() -> None:
    assert [one.name for one in choose("walk.from-the-root")] == ["walk.from-the-root"]
    assert {one.name for one in choose("claim")} == {
        one.name for one in choose("claim.*")
    }
    assert choose(None) is REQUIREMENTS
    order = [one.name for one in choose(["walk.*", "content.one-byte"])]
    assert order[0] == "content.one-byte"


class RefusesAll(StorageDriver):
    """Answers every call with one error: typed, but never the right one."""

    name = "refuses-all"
    capabilities = Capabilities(
        redirects=True, identity=True, resume=True, nested_objects=False, shared=True
    )

    def _refuse(self, *_: object, **__: object) -> None:
        raise StorageError("refused")

    reader = writer = stat = list = move = delete = _refuse  # type: ignore[assignment]
    redirect_url = walk = upload_status = _refuse  # type: ignore[assignment]
    get_content = put_content = _refuse  # type: ignore[assignment]


class DoesNothing(RefusesAll):
    """Takes everything, keeps nothing, and invents answers."""

    name = "does-nothing"

    def _nothing(self, *_: object, **__: object) -> None:
        return None

    reader = writer = move = delete = walk = _nothing  # type: ignore[assignment]
    put_content = redirect_url = upload_status = _nothing  # type: ignore[assignment]

    def get_content(self, path: str) -> bytes:
        return b""

    def list(self, path: str) -> list[str]:  # type: ignore[override]
        return []

    def stat(self, path: str) -> FileInfo:
        if path.count("/") == 1 and path != "/":
            raise PathNotFoundError(path=path)  # so that tidying finds nothing
        return FileInfo(path, 0, None, True)


def test_no_requirement_is_met_by_a_driver_that_refuses_all() -> None:
    report = conformance.in_process(RefusesAll)
    # Tidying fails as well, so that even a check without an expectation fails.
    assert [result.name for result in report.passed] == []
    tried = {result.name for result in report.failed}
    short = {one.name for one in REQUIREMENTS if one.tier is Tier.SHORT}
    assert short - tried == {result.name for result in report.left_out} & short


BY_THE_WRAPPER = {
    "driver.says-what-it-is",
    "reader.negative-length",
    "reader.negative-offset",
    "reader.offset-must-be-whole",
    "redirect.expiry-is-checked",
    "redirect.get-fetches-the-object",
    "redirect.head-tells-the-size",
    "redirect.missing-object",
    "redirect.other-methods-have-none",
    "redirect.url-or-none",
    "stat.of-the-root",
    "upload.bad-ids-are-typed",
    "walk.start-after-is-checked",
} | {one.name for one in choose("paths.invalid-for-*")}
"""What the checks in front of every driver ensure, whatever the driver does; besides,
None is a right answer of redirect_url, and DoesNothing is right about the root."""


def test_only_the_wrapper_saves_a_driver_that_does_nothing() -> None:
    report = conformance.in_process(DoesNothing)
    assert {result.name for result in report.passed} == BY_THE_WRAPPER


class Bare(Checked):
    """A driver without its checks, that passes for one behind them."""

    def __init__(self) -> None:
        super().__init__(Lenient())

    @property
    def name(self) -> str:  # type: ignore[override]
        return "bare"

    def __getattribute__(self, name: str) -> Any:
        inner = object.__getattribute__(self, "_driver") if name in BARE else self
        return object.__getattribute__(inner, name)


class Lenient(DoesNothing):
    """Has an answer to everything, a wrong one where there is one."""

    def redirect_url(
        self, path: str, method: str = "GET", expires: int = 1200
    ) -> str | None:
        return "nowhere"

    def _read(self, *_: object, **__: object) -> io.BytesIO:
        return io.BytesIO()

    reader = _read  # type: ignore[assignment]


BARE = {
    "get_content", "put_content", "reader", "writer", "stat", "list", "move", "delete",
    "redirect_url", "walk", "upload_status",
}  # fmt: skip


def test_what_the_wrapper_ensures_can_fail_without_it() -> None:
    report = conformance.in_process(Bare, only=sorted(BY_THE_WRAPPER))
    met = {result.name for result in report.passed}
    assert met == {
        "driver.says-what-it-is",
        "redirect.missing-object",
        "stat.of-the-root",
    }
