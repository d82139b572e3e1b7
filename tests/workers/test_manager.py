"""The manager with real processes: life, death, and what must not be left behind."""

import logging
import os
import queue
import signal
import subprocess
import threading
import time
from pathlib import Path

import psutil
import pytest
from manager_owner import (
    POLITE,
    QUICK,
    READY,
    STUBBORN,
    Owner,
    eventually,
    group,
    is_running,
    shell,
)

from storagebus.drivers.errors import (
    DeadlineExceededError,
    InvalidParameterError,
    InvalidStateError,
    UnavailableError,
)
from storagebus.workers.children import (
    ChildEnded,
    ChildReady,
    ChildStarted,
    GaveUp,
    Notice,
    PoolStopped,
    ProcessSpec,
    Readiness,
    Rolled,
)
from storagebus.workers.manager import Manager


def test_a_killed_child_comes_back_with_another_pid_and_its_group_is_gone(
    owner: Owner,
) -> None:
    manager = owner.manage(shell("acme", POLITE, instances=2))
    manager.wait_ready(10)
    first, second = manager.status()
    assert len(group(first.pid)) == 2
    os.kill(first.pid, signal.SIGKILL)
    ended = owner.wait(ChildEnded)
    assert ended.child == first.child
    assert not ended.expected
    assert ended.was_ready
    assert ended.detail.startswith("was ended by SIGKILL")
    owner.wait(ChildReady)
    assert eventually(lambda: not group(first.pid))
    pids = {child.pid for child in manager.status()}
    assert second.pid in pids
    assert first.pid not in pids
    assert len(pids) == 2
    assert manager.stop()
    assert manager.status() == ()
    assert eventually(lambda: not group(second.pid))


def test_a_crash_loop_is_given_up_with_its_last_words(owner: Owner) -> None:
    manager = owner.manage(shell("acme", "echo starting; echo bad disk >&2; exit 3"))
    gave_up = owner.wait(GaveUp)
    assert "exited with code 3: 3 times in a row" in gave_up.reason
    assert gave_up.reason.endswith("bad disk")
    assert sum(isinstance(one, ChildStarted) for one in owner.news) == 3
    with pytest.raises(UnavailableError, match="bad disk") as caught:
        manager.wait_ready(10)
    assert not caught.value.temporary
    assert manager.gave_up("acme") == gave_up.reason
    assert manager.run_until(threading.Event()) == gave_up.reason


def test_a_program_that_is_not_there_is_given_up_with_the_systems_reason(
    owner: Owner,
) -> None:
    owner.manage(ProcessSpec("acme", ("/no/such/program",), restart=QUICK))
    assert "No such file" in owner.wait(GaveUp).reason


def test_a_pool_that_was_given_up_can_be_revived(tmp_path: Path, owner: Owner) -> None:
    mended = tmp_path / "mended"
    manager = owner.manage(
        shell("acme", f"test -e '{mended}' || exit 78; {POLITE}", restart=QUICK)
    )
    owner.wait(GaveUp)
    mended.touch()
    manager.revive("acme")
    manager.wait_ready(10)
    assert manager.gave_up("acme") is None


def test_a_child_that_hangs_at_start_is_killed_with_its_group(owner: Owner) -> None:
    spec = shell("acme", "trap '' TERM; sleep 60 & wait", start_timeout_s=0.2)
    manager = owner.manage(spec)
    pid = owner.wait(ChildStarted).pid
    ended = owner.wait(ChildEnded)
    assert ended.detail == "was not ready within 0.2 s and was killed"
    assert eventually(lambda: not group(pid))
    with pytest.raises((DeadlineExceededError, UnavailableError), match="not ready"):
        manager.wait_ready(0.3)


def test_wait_ready_says_who_is_missing(owner: Owner) -> None:
    manager = owner.manage(shell("good", POLITE), shell("late", "sleep 60"))
    manager.wait_ready(10, "good")
    with pytest.raises(DeadlineExceededError, match=r"late: 0 of 1 are ready"):
        manager.wait_ready(0.05)
    assert "good" not in str(manager.gave_up("good"))


def test_an_accepted_hello_makes_a_child_ready_and_its_cookie_works_for_one(
    tmp_path: Path, owner: Owner
) -> None:
    cookie_file = tmp_path / "cookie"
    script = f"echo $STORAGEBUS_WORKER_COOKIE > '{cookie_file}'; exec sleep 60"
    manager = owner.manage(shell("acme", script, ready=Readiness.CALLED))
    started = owner.wait(ChildStarted)
    assert eventually(lambda: cookie_file.exists() and cookie_file.read_text() != "")
    cookie = cookie_file.read_text().strip()
    assert manager.claim("guessed", b"boot") is None
    assert manager.claim(cookie, b"boot") == started.child
    assert manager.claim(cookie, b"another") is None
    assert manager.claim(cookie, b"boot") == started.child  # it says HELLO again
    manager.mark_ready(started.child)
    manager.wait_ready(10)
    os.kill(started.pid, signal.SIGKILL)
    owner.wait(ChildEnded)
    assert manager.claim(cookie, b"boot") is None


def test_noise_is_logged_and_a_slow_log_never_blocks_the_child(
    tmp_path: Path, owner: Owner
) -> None:
    go, done = threading.Event(), tmp_path / "done"

    class Stuck(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            go.wait(20)

    logger, handler = logging.getLogger("storagebus.driver.noisy"), Stuck()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        noise = "head -c 3000000 /dev/zero | tr '\\0' 'x' | fold -w 100"
        manager = owner.manage(
            shell("noisy", f"{noise}; touch '{done}'; {noise} >&2; {POLITE}")
        )
        manager.wait_ready(10)
        assert done.exists()
    finally:
        go.set()
        assert manager.stop()
        logger.removeHandler(handler)
        logger.propagate = True
        logger.setLevel(logging.NOTSET)


def test_stop_waits_for_the_polite_and_is_bounded_for_the_stubborn(
    owner: Owner,
) -> None:
    manager = owner.manage(
        shell("polite", POLITE), shell("stubborn", STUBBORN, grace_s=0.3)
    )
    manager.wait_ready(10)
    pids = [child.pid for child in manager.status()]
    started = time.monotonic()
    assert manager.stop()
    assert 0.3 <= time.monotonic() - started < 15  # its own grace would be 25 s
    assert eventually(lambda: not any(group(pid) for pid in pids))
    endings = [owner.wait(ChildEnded), owner.wait(ChildEnded)]
    assert [(one.name, one.ending.describe()) for one in endings] == [
        ("polite", "exited with code 0"),
        ("stubborn", "was ended by SIGKILL"),
    ]
    assert all(one.expected for one in endings)
    assert manager.stop()  # once more is harmless
    with pytest.raises(InvalidStateError, match="was stopped"):
        manager.start()


def test_a_second_stop_hurries_the_first(owner: Owner) -> None:
    manager = owner.manage(shell("stubborn", STUBBORN, grace_s=60.0))
    manager.wait_ready(10)
    patient = threading.Thread(target=manager.stop)
    patient.start()
    assert eventually(lambda: manager.status()[0].state.value == "leaving")
    assert manager.stop(grace_s=0.0)
    patient.join(20)
    assert not patient.is_alive()


def test_waves_end_one_after_the_other(owner: Owner) -> None:
    manager = owner.manage(
        shell("broker", POLITE, wave=0),
        shell("workers", f"trap 'sleep 0.3; exit 0' TERM; sleep 60 & {READY}; wait"),
    )
    manager.wait_ready(10)
    assert manager.stop()
    owner.wait(PoolStopped, count=2)
    order = [
        one.name for one in owner.news if isinstance(one, ChildEnded | PoolStopped)
    ]
    assert order == ["workers", "workers", "broker", "broker"]


def test_a_pool_grows_and_shrinks(owner: Owner) -> None:
    manager = owner.manage(shell("acme", POLITE, instances=1))
    manager.wait_ready(10)
    (kept,) = manager.status()
    manager.resize("acme", 4)
    assert eventually(lambda: len(manager.status()) == 4)
    manager.wait_ready(10)
    manager.resize("acme", 1)
    assert eventually(lambda: manager.status() == (kept,))
    with pytest.raises(InvalidParameterError, match="instances is -2"):
        manager.resize("acme", -2)
    with pytest.raises(InvalidParameterError, match="no pool 'none'"):
        manager.resize("none", 1)


def test_a_rolling_restart_takes_up_a_replaced_executable_without_a_gap(
    tmp_path: Path, owner: Owner
) -> None:
    program = tmp_path / "registry-storage-acme"

    def install(version: str) -> None:
        fresh = tmp_path / "fresh"
        fresh.write_text(f"#!/bin/sh\necho {version}\n{POLITE}\n")
        fresh.chmod(0o755)
        fresh.rename(program)

    install("one")
    spec = ProcessSpec("acme", (str(program),), instances=3, ready=Readiness.TOLD)
    manager = owner.manage(spec)
    manager.wait_ready(10)
    before = {child.pid for child in manager.status()}
    install("two")
    manager.rolling_restart("acme")
    least = []
    while not any(isinstance(one, Rolled) for one in owner.news):
        states = [child.state.value for child in manager.status()]
        least.append(states.count("ready"))
        assert len(states) <= 4
        try:
            owner.news.append(owner._queue.get(timeout=0.002))
        except queue.Empty:
            pass
    assert min(least) >= 3
    assert eventually(lambda: len(manager.status()) == 3)
    assert before.isdisjoint(child.pid for child in manager.status())
    told = [one.ending.tail for one in owner.news if isinstance(one, ChildEnded)]
    assert told == [("one",)] * 3
    manager.stop()
    assert owner.wait(ChildEnded).ending.tail == ("two",)


def test_a_new_version_that_does_not_start_leaves_the_old_one_serving(
    tmp_path: Path, owner: Owner
) -> None:
    broken = tmp_path / "broken"
    script = f"test -e '{broken}' && {{ echo cannot >&2; exit 1; }}; {POLITE}"
    manager = owner.manage(shell("acme", script, instances=2))
    manager.wait_ready(10)
    before = manager.status()
    broken.touch()
    manager.rolling_restart("acme")
    assert owner.wait(Rolled).error == "the new process exited with code 1"
    assert manager.status() == before


def test_a_stopped_child_is_replaced(owner: Owner) -> None:
    manager = owner.manage(shell("acme", STUBBORN))
    manager.wait_ready(10)
    (stuck,) = manager.status()
    os.kill(stuck.pid, signal.SIGSTOP)
    manager.replace(stuck.child, "answered no ping for 20 s", grace_s=0.1)
    assert "answered no ping for 20 s" in owner.wait(ChildEnded).detail
    manager.wait_ready(10)
    assert manager.status()[0].pid != stuck.pid


def test_the_host_program_keeps_its_signals_and_its_own_children(owner: Owner) -> None:
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    own = subprocess.Popen(["sh", "-c", "sleep 0.2; exit 9"])
    manager = owner.manage(shell("acme", POLITE, instances=2))
    manager.wait_ready(10)
    os.kill(manager.status()[0].pid, signal.SIGKILL)
    owner.wait(ChildEnded)
    assert manager.stop()
    assert own.wait(10) == 9
    after = {number: signal.getsignal(number) for number in signal.valid_signals()}
    assert after == before


def test_an_owner_whose_callback_fails_or_stops_is_no_harm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def on_change(notice: Notice) -> None:
        if isinstance(notice, ChildReady):
            assert manager.stop() is False  # there is no waiting in here
            raise RuntimeError("a fault of the owner's")

    manager = Manager([shell("acme", POLITE)], on_change)
    manager.start()
    assert manager.stop()
    assert "a fault of the owner's" in caplog.text or not manager.status()


def test_a_guard_that_was_killed_is_replaced(owner: Owner) -> None:
    manager = owner.manage(shell("acme", POLITE))
    manager.wait_ready(10)

    def is_guard(process: psutil.Process) -> bool:
        try:
            return "storagebus-guard" in process.cmdline()
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            return False

    def guards() -> set[int]:
        return {
            child.pid
            for child in psutil.Process().children()
            if is_running(child.pid) and is_guard(child)
        }

    before = guards()
    assert len(before) == 1
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: len(guards() - before) == 1)
    assert manager.stop()
    assert guards() == set()


def test_a_manager_that_never_started_stops_and_names_are_unique() -> None:
    manager = Manager([shell("acme", POLITE)])
    with pytest.raises(InvalidParameterError, match="two pools are named 'acme'"):
        manager.add(shell("acme", POLITE))
    with pytest.raises(InvalidStateError, match="not started"):
        manager.resize("acme", 2)
    assert manager.stop()
