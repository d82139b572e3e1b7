"""The filesystem driver in trouble: full and read-only disks, deaths, crowds."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storagebus.drivers import StorageDriver, UploadState, create
from storagebus.drivers.errors import (
    AccessDeniedError,
    PathNotFoundError,
    StorageFullError,
    UploadSupersededError,
)

pytestmark = pytest.mark.usefixtures("descriptors")

Everything = Callable[[], set[str]]
DATA = random.Random(13).randbytes(200_000)


@pytest.fixture
def mounted(root: Path) -> Iterator[Callable[..., Path]]:
    """Mount a small file system of its own; needs to be root."""
    done: list[Path] = []

    def mount(path: Path, options: str = "size=4m") -> Path:
        path.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=30)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"mount is not allowed here, so this is NOT tested: {error}")
        done.append(path)
        return path

    yield mount
    for path in reversed(done):
        subprocess.run(["umount", "-l", str(path)], check=True, timeout=30)


# Trouble


def test_a_full_disk(mounted: Callable[..., Path], tmp_path: Path) -> None:
    store = mounted(tmp_path / "small")
    with create("filesystem", {"rootdirectory": str(store)}) as driver:
        driver.put_content("/a", DATA)
        for large in (8 << 20, 4 << 20):
            with pytest.raises(StorageFullError) as caught:
                driver.put_content("/a", bytes(large))
            assert caught.value.path == "/a"
        with pytest.raises(StorageFullError), driver.writer("/a") as upload:
            for _ in range(100):
                before = upload.size
                upload.write(DATA)
        assert upload.size == before
        with pytest.raises(StorageFullError):
            driver.put_content("/d/new", bytes(8 << 20))
        assert driver.get_content("/a") == DATA
        assert [path.name for path in (store / "~uploads").iterdir()] == []
        assert driver.list("/") == ["/a"]
        with driver.writer("/a", append=True) as upload:
            upload.write(b"there is room again")
            upload.commit()


def test_a_copy_that_finds_no_room_is_cleaned_up(
    mounted: Callable[..., Path], tmp_path: Path
) -> None:
    store = mounted(tmp_path / "small")
    with create("filesystem", {"rootdirectory": str(store)}) as driver:
        driver.put_content("/a", DATA * 12)
        with pytest.raises(StorageFullError):
            driver.writer("/a", append=True)
        assert list((store / "~uploads").iterdir()) == []
        assert driver.get_content("/a") == DATA * 12


def test_a_read_only_disk(mounted: Callable[..., Path], tmp_path: Path) -> None:
    store = mounted(tmp_path / "small")
    with create("filesystem", {"rootdirectory": str(store)}) as driver:
        driver.put_content("/a", DATA)
    command = ["mount", "-o", "remount,ro", str(store)]
    subprocess.run(command, check=True, timeout=30)
    with create("filesystem", {"rootdirectory": str(store)}) as driver:
        assert driver.get_content("/a") == DATA
        assert driver.list("/") == ["/a"]
        for refused in (
            lambda: driver.put_content("/a", b"1"),
            lambda: driver.writer("/a"),
            lambda: driver.move("/a", "/b"),
            lambda: driver.delete("/a"),
        ):
            with pytest.raises(AccessDeniedError):
                refused()
        assert driver.get_content("/a") == DATA
    with pytest.raises(AccessDeniedError):
        create("filesystem", {"rootdirectory": str(store / "new")})


def test_another_file_system_inside_the_root(
    files: StorageDriver, root: Path, mounted: Callable[..., Path]
) -> None:
    """A rename cannot go there, so the bytes are copied, and then renamed."""
    inner = mounted(root / "other")
    files.put_content("/other/put", DATA)
    with files.writer("/other/d/commit") as upload:
        upload.write(DATA)
        upload.commit()
    status = files.upload_status("/other/d/commit", upload.upload_id)
    assert status.state is UploadState.COMMITTED
    assert status.identity == files.stat("/other/d/commit").identity
    files.put_content("/here", DATA[::-1])
    files.put_content("/other/there", b"old")
    files.move("/here", "/other/there")
    files.move("/other/put", "/back")
    assert files.get_content("/other/there") == DATA[::-1]
    assert files.get_content("/back") == files.get_content("/other/d/commit") == DATA
    with pytest.raises(PathNotFoundError):
        files.stat("/here")
    with pytest.raises(StorageFullError):
        files.put_content("/other/there", bytes(8 << 20))
    assert files.get_content("/other/there") == DATA[::-1]
    assert {str(path.relative_to(inner)) for path in inner.rglob("*")} == {
        "d",
        "d/commit",
        "there",
    }


HOLDER = """
import sys, time
from storagebus.drivers import create
driver = create("filesystem", {"rootdirectory": sys.argv[1]})
upload = driver.writer("/d/a", append=True)
upload.write(sys.stdin.buffer.read(100_000))
print(upload.upload_id, upload.size, flush=True)
sys.stdin.buffer.read(1)
upload.write(b"of the former owner")
"""


def holder(root: Path) -> tuple[subprocess.Popen[bytes], str, int]:
    """Another process with an upload of /d/a that has written 100,000 bytes."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(DATA[:100_000])
    process.stdin.flush()
    upload_id, size = process.stdout.readline().decode().split()
    return process, upload_id, int(size)


def test_an_upload_goes_on_after_its_process_was_killed(
    files: StorageDriver, root: Path
) -> None:
    process, upload_id, size = holder(root)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert size == 100_000
    status = files.upload_status("/d/a", upload_id)
    assert (status.state, status.durable) == (UploadState.OPEN, size)
    with files.writer("/d/a", upload_id=upload_id) as upload:
        assert (upload.size, upload.generation) == (size, 2)
        upload.write(DATA[size:])
        upload.commit()
    assert files.get_content("/d/a") == DATA


def test_a_kept_upload_survives_the_death_of_its_claimant(
    files: StorageDriver, root: Path
) -> None:
    with files.writer("/d/a") as upload:
        upload.write(b"first ")
    process, upload_id, size = holder(root)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert upload_id == upload.upload_id
    with files.writer("/d/a", append=True) as upload:
        assert (upload.size, upload.generation) == (size, 3)
        upload.commit()
    assert files.get_content("/d/a") == b"first " + DATA[:100_000]


def test_an_owner_in_another_process_is_fenced_off(
    files: StorageDriver, root: Path
) -> None:
    process, upload_id, size = holder(root)
    upload = files.writer("/d/a", upload_id=upload_id)
    _, said = process.communicate(b"!", timeout=30)
    assert process.returncode != 0
    assert UploadSupersededError.__name__ in said.decode()
    assert upload.size == size
    upload.commit()
    assert files.get_content("/d/a") == DATA[:100_000]


def test_coming_and_going_directories(
    files: StorageDriver, everything: Everything
) -> None:
    """Puts, commits and moves never fail because a delete prunes beneath them."""
    errors: list[BaseException] = []
    start = threading.Barrier(6)

    def work(name: str) -> None:
        try:
            start.wait(10)
            for number in range(60):
                data = f"{name} {number}".encode()
                path = f"/x/y/{name}"
                if number % 3 == 0:
                    files.put_content(path, data)
                elif number % 3 == 1:
                    with files.writer(path) as upload:
                        upload.write(data)
                    with files.writer(path, append=True) as upload:
                        upload.commit()
                else:
                    files.put_content(f"/w/{name}", data)
                    files.move(f"/w/{name}", path)
                assert files.get_content(path) == data
                files.delete(path)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert everything() == set()


def test_a_delete_and_puts_at_once_leave_whole_objects(files: StorageDriver) -> None:
    """What is put while its directory is deleted is there or not, never broken."""
    stop = threading.Event()
    errors: list[BaseException] = []

    def put() -> None:
        try:
            while not stop.is_set():
                for number in range(8):
                    files.put_content(f"/d/{number}/x", DATA[: 1000 + number])
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=put)
    thread.start()
    for _ in range(60):
        try:
            files.delete("/d")
        except PathNotFoundError:
            pass
        for info in files.walk("/"):
            if not info.is_dir:
                try:
                    content = files.get_content(info.path)
                except PathNotFoundError:
                    continue
                assert content == DATA[: len(content)]
                assert len(content) >= 1000
    stop.set()
    thread.join(30)
    assert errors == []
