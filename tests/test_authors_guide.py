"""The template of the author's guide: installed as a third party's package, and used.

What the guide itself says is run by test_documents.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from running_bus import running_bus

from storagebus.client import Client
from storagebus.drivers.errors import DataLossError, InvalidParameterError
from storagebus.drivers.factory import create_child

TEMPLATE = Path(__file__).parent / "examples" / "python"
INSTALL_S_MAX = 250
RUN_S_MAX = 250
STARTED_AT_ONCE = 8
SECRET = "a-sealkey-of-nobody-else"


def run(*words: str | Path, **more: object) -> subprocess.CompletedProcess[str]:
    """Run a program of this Python to its end; its output is captured."""
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        timeout=RUN_S_MAX,
        check=False,
        **more,  # type: ignore[call-overload]
    )


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the template, installed and on the paths of this test's processes."""
    copy = tmp_path_factory.mktemp("template") / "python"
    shutil.copytree(TEMPLATE, copy)
    target = copy.parent / "installed"
    pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run(
        [sys.executable, *pip, "--target", target, copy],
        capture_output=True,
        text=True,
        timeout=INSTALL_S_MAX,
    )
    assert done.returncode == 0, done.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(target))
        patch.setenv("PATH", str(target / "bin"), prepend=os.pathsep)
        patch.setenv("PYTHONWARNINGS", "error")
        yield copy


@pytest.fixture
def database() -> Iterator[str]:
    """Path of a new database, in memory where the machine has such a folder: the
    suite commits a few thousand times."""
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None)
    yield f"{folder}/objects.db"
    shutil.rmtree(folder)


def test_its_own_tests_pass(package: Path, database: str) -> None:
    """In-process and as a managed child: what an author runs first."""
    done = run("-m", "pytest", "-q", "--basetemp", f"{database}-tests", cwd=package)
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout


def test_it_conforms_as_a_service_of_two_workers(package: Path, database: str) -> None:
    with running_bus("acme", {"database": database}, workers=2) as endpoint:
        done = run("-m", "storagebus.conf", "conform", "--endpoint", endpoint)
    assert done.returncode == 0, done.stdout[-3000:]
    assert done.stdout.splitlines()[-1].endswith(" passed, 0 failed")


def test_its_secret_reaches_the_workers_unseen(package: Path, database: str) -> None:
    parameters = {"database": database, "sealkey": SECRET}
    with running_bus("acme", parameters, workers=1) as endpoint:
        with Client(endpoint) as client:
            client.put_content("/a", b"sealed")
            (worker,) = client.bus_status()["services"]["default"]["workers"]
        process = psutil.Process(worker["pid"])
        assert database in " ".join(process.cmdline())
        assert SECRET not in " ".join(process.cmdline())
        assert SECRET not in str(process.environ())
    with (
        create_child("acme", {"database": database}) as driver,
        pytest.raises(DataLossError, match="another sealkey"),
    ):
        driver.get_content("/a")


def test_its_executable_names_a_wrong_parameter(package: Path, database: str) -> None:
    with pytest.raises(InvalidParameterError, match="'busyseconds': must be a whole"):
        create_child("acme", {"database": database, "busyseconds": 0})


def test_many_may_start_at_once(package: Path, database: str) -> None:
    """Workers of a pool find no database, and all of them make it."""
    program = (
        "import sys, time; from acme import AcmeDriver\n"
        "while time.time() < float(sys.argv[2]): pass\n"
        "with AcmeDriver(database=sys.argv[1]) as driver:\n"
        "    driver.put_content('/' + sys.argv[3], b'x')\n"
    )
    begin = str(time.time() + 1)
    started = [
        subprocess.Popen([sys.executable, "-c", program, database, begin, str(number)])
        for number in range(STARTED_AT_ONCE)
    ]
    assert [process.wait(RUN_S_MAX) for process in started] == [0] * STARTED_AT_ONCE
    with create_child("acme", {"database": database}) as driver:
        assert len(driver.list("/")) == STARTED_AT_ONCE


def test_a_forked_process_is_told_to_make_its_own(package: Path, database: str) -> None:
    program = f"""
import os
from acme import AcmeDriver
from storagebus.drivers.errors import InvalidStateError
driver = AcmeDriver(database={database!r})
pid = os.fork()
if not pid:
    try:
        driver.list("/")
    except InvalidStateError as error:
        os._exit(7 if "forked" in str(error) else 1)
    os._exit(2)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
driver.put_content("/a", b"the parent goes on")
"""
    done = run("-c", program)
    assert done.returncode == 0, done.stderr
