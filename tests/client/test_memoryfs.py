"""Which files lie in memory, by what the system says of mounts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storagebus.client import memoryfs
from storagebus.client.memoryfs import is_in_memory


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    memoryfs._is_memory.cache_clear()
    yield
    memoryfs._is_memory.cache_clear()


def mounts(
    monkeypatch: pytest.MonkeyPatch, folder: Path, kind: str, device: int
) -> None:
    """Have the system say that a device is a file system of this kind."""
    table = folder / "mountinfo"
    number = f"{memoryfs.os.major(device)}:{memoryfs.os.minor(device)}"
    table.write_text(
        "21 20 250:77 / /other rw - tmpfs tmpfs rw\n"
        f"22 20 {number} / /a\\040b rw,noatime shared:4 master:1 - {kind} what rw\n"
        f"23 20 {number} / /later rw - another what rw\n"
    )
    monkeypatch.setattr(memoryfs, "MOUNTS", str(table))


@pytest.mark.parametrize(
    ("kind", "expected"), [("tmpfs", True), ("ramfs", True), ("ext4", False)]
)
def test_the_kind_of_the_mount_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, expected: bool
) -> None:
    with (tmp_path / "file").open("wb") as file:
        mounts(monkeypatch, tmp_path, kind, tmp_path.stat().st_dev)
        assert is_in_memory(file.fileno()) is expected
        monkeypatch.setattr(memoryfs, "MOUNTS", str(tmp_path / "gone"))
        assert is_in_memory(file.fileno()) is expected, "it is asked once"


def test_what_the_system_does_not_say_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (tmp_path / "file").open("wb") as file:
        mounts(monkeypatch, tmp_path, "tmpfs", (255 << 8) + 99)
        assert not is_in_memory(file.fileno())
        memoryfs._is_memory.cache_clear()
        monkeypatch.setattr(memoryfs, "MOUNTS", str(tmp_path / "gone"))
        assert not is_in_memory(file.fileno())


def test_shared_memory_is_memory() -> None:
    shm = Path("/dev/shm")
    if not any(
        " /dev/shm " in line and " tmpfs " in line
        for line in Path("/proc/mounts").read_text().splitlines()
    ):
        pytest.skip("no tmpfs here")
    with (shm / "storagebus-test-memoryfs").open("wb") as file:
        (shm / "storagebus-test-memoryfs").unlink()
        assert is_in_memory(file.fileno())
