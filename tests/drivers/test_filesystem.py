"""The filesystem driver: parameters, the tree on disk, full and read-only disks."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from storagebus.drivers import StorageDriver, UploadState, create
from storagebus.drivers.errors import (
    AccessDeniedError,
    InvalidParameterError,
    InvalidPathError,
    PathConflictError,
    PathNotFoundError,
    StorageFullError,
    UploadSupersededError,
)
from storagebus.drivers.filesystem import FILE_PATH_BYTES_MAX, FilesystemDriver

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


# Parameters


@pytest.mark.parametrize(
    ("given", "count"), [(100, 100), ("64", 64), (24, 25), (0, 25), ("-5", 25)]
)
def test_maxthreads_has_a_floor(root: Path, given: object, count: int) -> None:
    driver = FilesystemDriver(str(root), given)  # type: ignore[arg-type]
    assert driver._permits.count == count
    driver.close()


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"maxthreads": "many"}, "maxthreads"),
        ({"maxthreads": None}, "maxthreads"),
        ({"rootdirectory": ""}, "rootdirectory"),
        ({"rootdirectory": 7}, "rootdirectory"),
        ({"rootdirectory": "/nul\0"}, "rootdirectory"),
        ({"rootdirectori": "/x"}, "rootdirectori"),
    ],
)
def test_a_wrong_parameter_is_named(
    root: Path, parameters: dict[str, object], named: str
) -> None:
    with pytest.raises(InvalidParameterError, match=named) as caught:
        create("filesystem", {"rootdirectory": str(root), **parameters})
    assert caught.value.driver == "filesystem"


def test_both_parameters_may_be_shown() -> None:
    assert {"rootdirectory", "maxthreads"} == FilesystemDriver.public_parameters


def test_the_root_is_made_on_demand(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b" / "c"
    with create("filesystem", {"rootdirectory": str(deep)}) as driver:
        assert driver.list("/") == []
        assert deep.is_dir()


@pytest.mark.parametrize("below", ["", "/below"])
def test_a_root_that_is_a_file_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidParameterError, match="no directory") as caught:
        create("filesystem", {"rootdirectory": str(tmp_path / "file") + below})
    assert str(tmp_path / "file") in str(caught.value)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_root_that_may_not_be_made_is_denied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def deny(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", deny)
    with pytest.raises(AccessDeniedError, match="rootdirectory"):
        create("filesystem", {"rootdirectory": str(tmp_path / "new")})


# The tree on disk


def test_an_object_is_a_plain_file(files: StorageDriver, root: Path) -> None:
    before = os.umask(0o022)
    try:
        files.put_content("/a/b", DATA)
        with files.writer("/a/c") as upload:
            upload.write(DATA[::-1])
            upload.commit()
    finally:
        os.umask(before)
    assert (root / "a/b").read_bytes() == DATA
    assert (root / "a/c").read_bytes() == DATA[::-1]
    assert (root / "a/b").stat().st_mode & 0o777 == 0o644
    assert (root / "a/c").stat().st_mode & 0o777 == 0o644
    assert (root / "a").stat().st_mode & 0o777 == 0o755
    modified = datetime.fromtimestamp((root / "a/b").stat().st_mtime, UTC)
    assert files.stat("/a/b").mod_time == modified


def test_a_tree_that_a_registry_wrote_can_be_served(
    files: StorageDriver, root: Path
) -> None:
    base = root / "docker" / "registry" / "v2"
    digest = "ab" + "cd" * 31
    blob = base / "blobs" / "sha256" / "ab" / digest / "data"
    layers = base / "repositories" / "library" / "alpine" / "_layers" / "sha256"
    uploads = base / "repositories" / "library" / "alpine" / "_uploads"
    for directory in (blob.parent, layers / digest, uploads / "left" / "hashstates"):
        directory.mkdir(parents=True)
    blob.write_bytes(DATA)
    (layers / digest / "link").write_text(f"sha256:{digest}")
    (base / "blobs" / "sha256" / "ef").mkdir()
    (base / "repositories" / "emptied" / "_uploads").mkdir(parents=True)

    prefix = "/docker/registry/v2"
    assert files.list("/") == ["/docker"]
    assert files.list(prefix) == [f"{prefix}/blobs", f"{prefix}/repositories"]
    assert files.list(f"{prefix}/blobs/sha256") == [f"{prefix}/blobs/sha256/ab"]
    assert files.list(f"{prefix}/repositories") == [f"{prefix}/repositories/library"]
    assert files.get_content(f"{prefix}/blobs/sha256/ab/{digest}/data") == DATA
    for path in ("blobs/sha256/ef", "repositories/emptied"):
        for look in (files.stat, files.list, files.walk, files.delete):
            with pytest.raises(PathNotFoundError):
                look(f"{prefix}/{path}")
    found = [info.path for info in files.walk("/") if not info.is_dir]
    assert found == [
        f"{prefix}/blobs/sha256/ab/{digest}/data",
        f"{prefix}/repositories/library/alpine/_layers/sha256/{digest}/link",
    ]
    assert not any("_uploads" in info.path for info in files.walk("/"))
    files.delete(f"{prefix}/repositories/library/alpine")
    assert not (base / "repositories" / "library").exists()
    assert (base / "repositories" / "emptied" / "_uploads").is_dir()


def test_what_the_grammar_does_not_allow_is_not_there(
    files: StorageDriver, root: Path, tmp_path: Path
) -> None:
    files.put_content("/d/a", b"1")
    (tmp_path / "secret").write_bytes(b"not yours")
    for name in ("d/tilde~", "d/sp ace", "d/ümlaut", "d/lost+found"):
        (root / name).touch()
    (root / "d/sub~/x").parent.mkdir()
    (root / "d/sub~/x").touch()
    (root / "d/link").symlink_to(tmp_path / "secret")
    (root / "d/tree").symlink_to(tmp_path)
    os.mkfifo(root / "d/pipe")
    assert files.list("/d") == ["/d/a"]
    assert [info.path for info in files.walk("/")] == ["/d", "/d/a"]
    for path in ("/d/link", "/d/tree", "/d/pipe", "/d/tree/secret"):
        for look in (files.stat, files.get_content, files.reader, files.list):
            with pytest.raises(PathNotFoundError):
                look(path)
        with pytest.raises(PathNotFoundError):
            files.delete(path)
        with pytest.raises(PathNotFoundError):
            files.move(path, "/elsewhere")


def test_writing_never_leaves_the_root(
    files: StorageDriver, root: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_bytes(b"untouched")
    (root / "tree").symlink_to(outside)
    (root / "link").symlink_to(outside / "victim")
    files.put_content("/source", DATA)
    for path in ("/tree/victim", "/tree/new"):
        with pytest.raises(PathConflictError):
            files.put_content(path, DATA)
        with pytest.raises(PathConflictError):
            files.writer(path)
        with pytest.raises(PathConflictError):
            files.move("/source", path)
    # A link is no object, so an object may take its place.
    files.put_content("/link", DATA)
    assert not (root / "link").is_symlink()
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == {
        "victim": b"untouched"
    }


def test_staging_that_leads_out_of_the_root_is_refused(
    files: StorageDriver, root: Path, tmp_path: Path
) -> None:
    (root / "~uploads").symlink_to(tmp_path)
    with pytest.raises(PathConflictError):
        files.put_content("/a", DATA)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root"]


def test_empty_directories_on_disk_give_way(files: StorageDriver, root: Path) -> None:
    for put in (
        lambda path: files.put_content(path, DATA),
        lambda path: (files.put_content("/s", DATA), files.move("/s", path)),
    ):
        (root / "object/x/y").mkdir(parents=True)
        put("/object")
        assert files.get_content("/object") == DATA
        files.delete("/object")


def test_delete_and_move_prune_what_they_empty(
    files: StorageDriver, everything: Everything
) -> None:
    for path in ("/a/b/c/x", "/a/y", "/m/n/z"):
        files.put_content(path, DATA)
    files.delete("/a/b/c/x")
    assert everything() == {"a", "a/y", "m", "m/n", "m/n/z"}
    files.move("/m/n/z", "/a/z")
    files.delete("/a")
    assert everything() == set()


def test_an_object_is_not_moved_onto_a_directory_that_it_lies_in(
    driver: StorageDriver,
) -> None:
    driver.put_content("/a/b/c", DATA)
    for destination in ("/a", "/a/b"):
        with pytest.raises(PathConflictError, match="a directory is at this path"):
            driver.move("/a/b/c", destination)
    assert driver.get_content("/a/b/c") == DATA


def test_two_names_of_one_file_are_moved_like_two_objects(
    files: StorageDriver, root: Path
) -> None:
    """A rename between hard links does nothing; tools that save space make them."""
    files.put_content("/a", DATA)
    (root / "b").hardlink_to(root / "a")
    files.move("/a", "/b")
    assert files.list("/") == ["/b"]
    assert files.get_content("/b") == DATA


def test_paths_are_as_long_as_their_staging_names_allow(files: StorageDriver) -> None:
    path = "".join(f"/{'n' * 249}" for _ in range(FILE_PATH_BYTES_MAX // 250))
    assert len(path) == FILE_PATH_BYTES_MAX
    files.put_content(path, DATA)
    with files.writer(path, append=True) as upload:
        upload.write(b"1")
    with files.writer(path, append=True) as upload:
        upload.commit()
    assert files.get_content(path) == DATA + b"1"
    files.put_content("/s", b"1")
    for refused in (
        lambda: files.put_content(path + "n", b"1"),
        lambda: files.writer(path + "n"),
        lambda: files.move("/s", path + "n"),
        lambda: files.put_content("/" + "n" * 256, b"1"),
    ):
        with pytest.raises(InvalidPathError):
            refused()
    files.delete(path)


def test_every_put_has_an_identity_of_its_own(files: StorageDriver) -> None:
    identities = set()
    for _ in range(200):
        files.put_content("/a", b"same size")
        identities.add(files.stat("/a").identity)
    assert len(identities) == 200


def test_an_error_does_not_tell_where_the_root_is(
    files: StorageDriver, root: Path
) -> None:
    with pytest.raises(PathNotFoundError) as caught:
        files.get_content("/a")
    assert str(root) not in str(caught.value)
    assert caught.value.path == "/a"


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
