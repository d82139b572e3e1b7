"""The right to an ipc address: one owner, whatever comes and goes."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from storagebus.broker.ipcclaim import IpcClaim
from storagebus.drivers import errors


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/door"


def test_one_owner_at_a_time(address: str, tmp_path: Path) -> None:
    claim = IpcClaim(address)
    with pytest.raises(errors.UnavailableError, match="another broker listens at"):
        IpcClaim(address)
    claim.release()
    assert list(tmp_path.iterdir()) == []
    IpcClaim(address).release()


def test_a_lock_that_its_owner_was_just_removing_is_none(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was opened before, and locked after its owner had given it back."""
    owner, taken = IpcClaim(address), []
    take = IpcClaim._take

    def take_late(self: IpcClaim, given: str) -> None:
        taken.append(self)
        if len(taken) == 1:
            owner.release()
        take(self, given)

    monkeypatch.setattr(IpcClaim, "_take", take_late)
    claim = IpcClaim(address)
    assert len(taken) == 2
    with pytest.raises(errors.UnavailableError):
        IpcClaim(address)
    claim.release()


def test_claims_at_once_leave_one_owner(address: str) -> None:
    """Fifty rounds of eight that claim and release; never do two have it."""
    owners, most, lock = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal owners, most
        for _ in range(50):
            try:
                claim = IpcClaim(address)
            except errors.UnavailableError:
                continue
            with lock:
                owners += 1
                most = max(most, owners)
            with lock:
                owners -= 1
            claim.release()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_what_somebody_else_has_removed_is_no_fault(
    address: str, tmp_path: Path
) -> None:
    claim = IpcClaim(address)
    (tmp_path / "door.lock").unlink()
    claim.release()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.EACCES, errors.AccessDeniedError),
        (errno.EROFS, errors.AccessDeniedError),
        (errno.ENOENT, errors.InvalidParameterError),
        (errno.ENOSPC, errors.StorageFullError),
        (errno.EDQUOT, errors.QuotaExceededError),
        (errno.EMFILE, errors.UnavailableError),
    ],
)
def test_what_the_system_says_is_typed(
    address: str,
    code: int,
    kind: type[errors.StorageError],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(errors.StorageError, match=errno.errorcode[code]) as caught:
        IpcClaim(address)
    assert type(caught.value) is kind


def test_a_folder_that_cannot_be(address: str) -> None:
    """For real: /proc has no room for directories of ours."""
    with pytest.raises(errors.InvalidParameterError, match="ENOENT"):
        IpcClaim("ipc:///proc/storagebus/door")
