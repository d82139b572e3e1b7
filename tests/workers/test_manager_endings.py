"""However a manager's process ends, nothing of its children is left."""

import os
import signal
import subprocess
import sys

import pytest
from manager_owner import (
    READY,
    STUBBORN,
    Owner,
    eventually,
    group,
    is_running,
    shell,
)

PARENT = """
import os, sys, time, warnings
from storagebus.workers.children import ProcessSpec, Readiness
from storagebus.workers.manager import Manager

warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads, on purpose
manager = Manager([
    ProcessSpec("child", ("/bin/sh", "-c", sys.argv[1]), instances=2,
                ready=Readiness.TOLD)
])
manager.start()
manager.wait_ready(10)
pids = [child.pid for child in manager.status()]
then = sys.argv[2]
if then == "fork":
    sibling = os.fork()
    if sibling == 0:
        assert manager.stop() is True  # not its own: must touch nothing
        try:
            manager.resize("child", 0)
        except Exception as error:
            assert "forked" in str(error), error
            time.sleep(60)
        os._exit(1)
    time.sleep(0.3)
    print(*pids, sibling, flush=True)
else:
    print(*pids, flush=True)
if then == "exit":
    sys.exit(0)
if then == "raise":
    raise SystemExit("a fault")
if then == "_exit":
    os._exit(3)
time.sleep(60)
"""
HONOURS = f"{READY}; cat /dev/fd/$STORAGEBUS_WORKER_FD > /dev/null"


@pytest.mark.parametrize("then", ["kill", "exit", "raise", "_exit", "fork"])
@pytest.mark.parametrize("script", [HONOURS, STUBBORN], ids=["honours", "stubborn"])
def test_however_the_parent_ends_nothing_of_it_is_left(script: str, then: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, script, then],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert parent.stdout is not None
    told = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(told) == 2 + (then == "fork")
    children, siblings = told[:2], told[2:]
    if then in ("kill", "fork"):
        assert all(is_running(pid) for pid in told)
        parent.kill()
    try:
        parent.wait(10)
        assert eventually(lambda: not any(group(pid) for pid in children), 20)
        # The forked process lives on, and holds nobody's lifeline.
        assert all(is_running(pid) for pid in siblings)
    finally:
        for pid in siblings:
            os.kill(pid, signal.SIGKILL)
        parent.stdout.close()


def test_a_forked_process_does_not_keep_the_lifeline_even_without_a_guard(
    owner: Owner,
) -> None:
    manager = owner.manage(shell("acme", HONOURS))
    manager.wait_ready(10)
    (child,) = manager.status()
    sibling = subprocess.run(
        [sys.executable, "-c", LIFELINE_ONLY, HONOURS],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert sibling.stdout.strip() == "0"
    assert is_running(child.pid)


LIFELINE_ONLY = """
import os, sys, time, warnings
from storagebus.workers.children import ProcessSpec, Readiness
from storagebus.workers.output import OutputLog
from storagebus.workers.spawn import Child

warnings.simplefilter("ignore", DeprecationWarning)
spec = ProcessSpec("child", ("/bin/sh", "-c", sys.argv[1]), ready=Readiness.TOLD)
child = Child(spec, "cookie", OutputLog())
os.set_blocking(child.ready_fd, True)
assert child.said_ready()
sibling = os.fork()
if sibling == 0:
    time.sleep(60)
    os._exit(0)
child.close()
assert child.process.wait(20), "the forked process holds the lifeline"
print(child.reap().code)
os.kill(sibling, 9)
os.waitpid(sibling, 0)
"""
