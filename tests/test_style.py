"""The house rules that a machine can check."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("broker", "client", "conf", "drivers", "workers")
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70

PURE = {
    "broker": (
        "admin addresses backlog budget core flow greeting messages moments notices "
        "outliers packets poison relay roster session sessions settings strangers "
        "switch unread wire"
    ),
    "client": "brokers core requests retry streams",
    "drivers": "contract errors parameters paths walking",
    "workers": (
        "actions calls core direct downloads drain faults kinds links members pace "
        "pool restart schedule shares streams uploads"
    ),
}
"""Machines `(event, now) -> actions`, and what they are made of."""

HANDED_ON = {
    "broker/lanes.py": "a descriptor",
    "drivers/progress.py": "the count that a driver's thread raises",
    "drivers/standing.py": "what a driver's thread looks at",
    "workers/call_jobs.py": "what a thread runs",
    "workers/direct_jobs.py": "what a thread runs",
    "workers/download_jobs.py": "what a thread runs",
    "workers/children.py": "what a process is started with",
    "workers/exits.py": "numbers",
    "workers/jobs.py": "what a thread runs",
    "workers/lanes.py": "what the side socket hands over",
    "workers/sources.py": "what a thread reads",
    "workers/upload_jobs.py": "what a thread runs",
}
"""Files that a machine knows the types of, and has others use."""

IMPURE = {
    "asyncio",
    "logging",
    "multiprocessing",
    "os",
    "secrets",
    "select",
    "signal",
    "socket",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "zmq",
}
"""Modules with which a file would have a clock, a thread, a log or a socket."""

TESTED_BY = {
    "broker": {},
    "client": {
        "bus": "test_conformance.py",
        "channels": "client/test_client.py",
        "child": "client/test_child_start.py",
        "childpool": "client/test_child_start.py",
        "household": "client/test_child_start.py",
        "local": "client/test_child_start.py",
        "context": "client/test_client.py",
        "driver": "client/test_client.py",
        "engine": "client/test_client.py",
        "operations": "client/test_client.py",
        "requests": "client/test_core.py",
        "transport": "client/test_client.py",
    },
    "conf": {
        "health": "conf/test_watch.py",
        "hosting": "conf/test_processes.py",
        "logs": "conf/test_processes.py",
        "options": "conf/test_main.py",
        "parameters": "conf/test_conform.py",
    },
    "drivers": {
        "azure/*": "drivers/azure/test_driver.py",
        "filelist": "drivers/test_filesystem.py",
        "gate": "drivers/test_inmemory.py",
        "locked": "drivers/test_staging.py",
        "memoryreader": "drivers/test_inmemory.py",
        "memoryuploads": "drivers/test_inmemory.py",
        "memorywriter": "drivers/test_inmemory.py",
        "objectstore/*": "drivers/s3/test_driver.py",
        "refusals": "drivers/test_durable.py",
        "s3/*": "drivers/s3/test_driver.py",
    },
    "workers": {
        "actions": "workers/test_core.py",
        "call_jobs": "workers/test_calls.py",
        "download_jobs": "workers/test_downloads.py",
        "drain": "workers/test_core.py",
        "exits": "workers/test_spawned.py",
        "jobs": "workers/test_threads.py",
        "kinds": "workers/test_core.py",
        "links": "workers/test_core.py",
        "loop": "workers/test_process.py",
        "members": "workers/test_pool.py",
        "runner": "workers/test_manager.py",
        "serving": "workers/test_process.py",
        "streams": "workers/test_core.py",
        "upload_jobs": "workers/test_uploads.py",
        "worker": "workers/test_process.py",
    },
}
"""Files without a test file of their own, and the tests of which they are a part; of a
folder within a room as `folder/file`, or `folder/*` for what only its driver shows."""


def sources() -> list[Path]:
    return [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def all_files() -> list[Path]:
    return sources() + sorted((ROOT / "tests").rglob("*.py"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_no_file_is_too_long() -> None:
    long = {name(p): len(p.read_text().splitlines()) for p in all_files()}
    assert {n: c for n, c in long.items() if c > FILE_LINES_MAX} == {}


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """The functions of a file and their lines, docstrings left out."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        assert node.end_lineno is not None
        first = node.body[0]
        documented = isinstance(first, ast.Expr) and isinstance(
            first.value, ast.Constant
        )
        start = first.end_lineno if documented else node.lineno
        assert start is not None
        yield f"{name(path)}:{node.lineno} {node.name}", node.end_lineno - start


def test_no_function_is_too_long() -> None:
    long = [f for path in sources() for f in functions(path)]
    assert [f for f in long if f[1] > FUNCTION_LINES_MAX] == []


def test_every_file_says_what_it_is() -> None:
    silent = [
        name(path)
        for path in sources()
        if not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def pure_files() -> list[Path]:
    return [
        ROOT / room / f"{stem}.py"
        for room, stems in PURE.items()
        for stem in stems.split()
    ]


@pytest.mark.parametrize("path", pure_files(), ids=name)
def test_a_pure_file_has_no_clock_socket_thread_or_log(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules = {alias.name.partition(".")[0] for alias in node.names}
            assert not modules & (IMPURE | {"random"}), f"line {node.lineno}"
        elif isinstance(node, ast.ImportFrom) and not node.level:
            assert node.module
            module = node.module.partition(".")[0]
            assert module not in IMPURE, f"line {node.lineno}"
            if module == "random":
                # The type of a source of chance that is given in.
                assert [alias.name for alias in node.names] == ["Random"]


@pytest.mark.parametrize("path", pure_files(), ids=name)
def test_a_pure_file_uses_pure_files_only(path: Path) -> None:
    package = path.relative_to(ROOT).parent.parts
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = ROOT.joinpath(*package[: len(package) - node.level + 1])
        module = base.joinpath(*(node.module or "").split("."))
        modules = [module]
        if module.is_dir():
            modules = [module / alias.name for alias in node.names]
        for module in modules:
            used = module.with_suffix(".py")
            allowed = used in pure_files() or name(used) in HANDED_ON
            assert allowed, f"line {node.lineno}: {name(used)}"


def test_print_is_for_the_command_line() -> None:
    """A library that prints would write into its host's output."""

    def prints(node: ast.AST) -> bool:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            return False
        named = {keyword.arg for keyword in node.keywords}
        return node.func.id == "print" and "file" not in named

    for path in sources():
        if path.parts[-2] == "conf":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            assert not prints(node), f"{name(path)}: print"


def untested() -> Iterator[str]:
    for path in sources():
        relative = path.relative_to(ROOT)
        if path.stem.startswith("__") or "conformance" in relative.parts:
            continue  # the suite is tested by its mutants: tests/drivers/conformance
        own = ROOT / "tests" / relative.parent / f"test_{path.stem}.py"
        stem = "/".join(relative.with_suffix("").parts[1:])
        known = {stem, f"{stem.rpartition('/')[0]}/*"}
        if not own.exists() and not known & TESTED_BY[relative.parts[0]].keys():
            yield f"{relative} has no {own.relative_to(ROOT)}"


def test_every_source_file_has_its_test_file() -> None:
    assert list(untested()) == []


def test_the_table_of_tests_is_true() -> None:
    wrong = []
    for room, table in TESTED_BY.items():
        for stem, test in table.items():
            if not any((ROOT / room).glob(f"{stem}.py")):
                wrong.append(f"{room}/{stem}.py is gone")
            if not (ROOT / "tests" / test).exists():
                wrong.append(f"{test}, said to test {room}/{stem}.py, is missing")
            folder, _, last = stem.rpartition("/")
            if (ROOT / "tests" / room / folder / f"test_{last}.py").exists():
                wrong.append(f"{room}/{stem}.py has a test file of its own by now")
    assert wrong == []


def test_tests_have_their_source_file() -> None:
    """What a test of the rooms is named after exists, or it says what it covers."""
    for room in ROOMS:
        for path in (ROOT / "tests" / room).glob("test_*.py"):
            stem = path.stem.removeprefix("test_")
            if not any((ROOT / room).glob(f"{stem}.py")):
                assert ast.get_docstring(ast.parse(path.read_text())), name(path)
