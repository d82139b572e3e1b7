"""Every command and snippet in the documents runs, in order, as a reader would.

The `sh` and `python` blocks of a document make one session: a bash that stops at the
first failure, in an empty folder, with this installation's commands on its path.
A block with a title (`toml title=pyproject.toml`) is saved under it instead. Blocks of
another kind (`toml`, `text`, `sh setup` ...) are shown, not run. What a document
installs goes into a folder of its own.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for path in [*ROOT.glob("*.md"), *ROOT.glob("[a-z]*/*.md")]
    if path.parts[len(ROOT.parts)] not in ("build", "node_modules")
)
BLOCK = re.compile(r"^```(.*?)\n(.*?)^```$", re.S | re.M)
LINK = re.compile(r"\[[^\]]*\]\(([^)#:]+)(#[^)]*)?\)")
NAMED = re.compile(r"`((?:broker|client|conf|drivers|tests|workers)/[\w./-]+)`")
SESSION_S_MAX = 300
"""Some start dozens of processes, on a machine that may be busy."""


def session(document: Path) -> str:
    """The runnable blocks of a document as one script."""
    lines = ["set -euo pipefail", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
    for kind, text in BLOCK.findall((ROOT / document).read_text()):
        _, is_titled, title = kind.partition(" title=")
        if is_titled:
            lines.append(f"cat > {shlex.quote(title)} <<'TITLED'\n{text}TITLED")
        elif kind == "sh":
            lines.append(text)
        elif kind == "python":
            lines.append(f"{shlex.quote(sys.executable)} - <<'PYTHON'\n{text}PYTHON")
    return "\n".join(lines) if len(lines) > 2 else ""


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_links_lead_somewhere(document: Path) -> None:
    text = BLOCK.sub("", (ROOT / document).read_text())
    for target, _ in LINK.findall(text):
        assert ((ROOT / document).parent / target).exists(), target


@pytest.fixture
def temporary() -> Iterator[str]:
    """What is /tmp to a document, so that two runs of it never meet."""
    with tempfile.TemporaryDirectory(
        prefix="sb",  # short, as the paths of sockets are
        ignore_cleanup_errors=True,
    ) as folder:
        yield folder


@pytest.mark.timeout(SESSION_S_MAX + 30)
@pytest.mark.parametrize(
    "document", [name for name in DOCUMENTS if session(name)], ids=str
)
def test_snippets_run(document: Path, tmp_path: Path, temporary: str) -> None:
    commands = Path(sys.executable).parent
    installed = tmp_path / "installed"
    environment = {
        **os.environ,
        "PATH": os.pathsep.join(
            [str(installed / "bin"), str(commands), os.environ["PATH"]]
        ),
        "PIP_TARGET": str(installed),
        "PIP_NO_DEPS": "1",
        "PYTHONPATH": str(installed),
        # supervisord calls what Python has deprecated, and would break.
        "PYTHONWARNINGS": "error,ignore::DeprecationWarning:supervisor.http",
    }
    environment.pop("STORAGEBUS_ENDPOINT", None)
    script = tmp_path / "session.sh"
    script.write_text(session(document).replace("/tmp/storagebus-", f"{temporary}/"))
    folder = tmp_path / "reader"
    folder.mkdir()
    done = subprocess.run(
        ["bash", str(script)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SESSION_S_MAX,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_files_that_are_named_exist(document: Path) -> None:
    text = (ROOT / document).read_text()
    for name in NAMED.findall(text):
        assert (ROOT / name).exists(), name


def test_make_targets_of_the_documents_exist() -> None:
    rules = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    for document in DOCUMENTS:
        blocks = BLOCK.findall((ROOT / document).read_text())
        for target in re.findall(
            r"^make ([a-z-]+)", "\n".join(text for _, text in blocks), re.M
        ):
            assert target in rules, f"{document}: make {target}"
