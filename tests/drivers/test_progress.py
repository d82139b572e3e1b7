"""Signs of progress: counted in the thread of the operation, and nowhere else."""

import os
import threading

from storagebus.drivers import create
from storagebus.drivers.progress import Steps, counted, step


def test_steps_are_counted_where_somebody_counts() -> None:
    steps = Steps()
    step()
    with counted(steps):
        step()
        step()
    step()
    assert steps.done == 2


def test_counts_are_restored_and_inner_ones_their_own() -> None:
    outer, inner = Steps(), Steps()
    with counted(outer):
        with counted(inner):
            step()
        step()
    assert (outer.done, inner.done) == (1, 1)


def test_another_thread_does_not_count() -> None:
    steps = Steps()
    with counted(steps):
        thread = threading.Thread(target=step)
        thread.start()
        thread.join()
    assert steps.done == 0


def test_a_recursive_delete_moves_with_every_name(tmp_path) -> None:
    with create("filesystem", {"rootdirectory": str(tmp_path)}) as driver:
        for number in range(30):
            driver.put_content(f"/a/{number % 5}/{number}", b"x")
        steps = Steps()
        with counted(steps):
            driver.delete("/a")
    assert steps.done >= 35  # 30 files, 5 directories and the one above them


def test_an_append_moves_while_it_copies(tmp_path) -> None:
    with create("filesystem", {"rootdirectory": str(tmp_path)}) as driver:
        driver.put_content("/a", os.urandom(100_000))
        steps = Steps()
        with counted(steps), driver.writer("/a", append=True) as writer:
            assert writer.size == 100_000
    assert steps.done >= 1
