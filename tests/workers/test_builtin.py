"""The executables of the drivers in this package, as far as they refuse to start."""

import os
import subprocess
import sys

import pytest

PATIENCE_S = 20


def run(driver, *arguments, **variables):
    program = (
        f"import sys; sys.argv[0] = '/bin/registry-storage-{driver}'\n"
        f"from storagebus.workers.builtin import {driver}; {driver}()"
    )
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.mark.parametrize("driver", ["filesystem", "inmemory"])
def test_a_wrong_parameter_is_named_with_a_code_of_its_own(driver):
    done = run(
        driver,
        '{"colour": "red"}',
        STORAGEBUS_WORKER_ENDPOINT="ipc:///nowhere/at/all",
        STORAGEBUS_WORKER_SERVICE="default",
    )
    assert done.returncode == 78
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"registry-storage-{driver}: ")
    assert "'colour'" in line
    assert "red" not in line


@pytest.mark.parametrize("driver", ["filesystem", "inmemory"])
def test_run_by_hand_they_explain_themselves(driver):
    done = run(driver)
    assert done.returncode == 64
    assert "storagebus up --driver" in done.stderr
