"""The demonstration behind `make demo`: a real tree of files and a 1 GiB blob.

It starts a bus on this machine, stores both through broker and workers with the
commands that a user would type, reads everything back, and compares digests. All it
makes lies in build/demo, which is removed at the end.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

MIB = 1 << 20
FILES_MAX = 4_000
READY_S_MAX = 30
STOP_S_MAX = 30
COMMAND_S_MAX = 600
ODD_NAMES = ("read me (first).txt", "prices in €.txt")
TOOL = [sys.executable, "-m", "storagebus.conf"]


class Demo:
    """One demonstration in a folder of its own."""

    def __init__(self, folder: Path, sockets: Path, blob_mib: int) -> None:
        self.folder = folder
        self.blob_mib = blob_mib
        self.endpoint = f"ipc://{sockets}/bus"
        self.environment = {**os.environ, "STORAGEBUS_ENDPOINT": self.endpoint}

    def run(self) -> None:
        """All of it; ends the process with a message when anything differs."""
        tree = self.folder / "tree"
        count = copy_library(tree)
        say(f"A tree of {count:,} files: the Python installation's own library.")
        self.command("put", "-r", "tree", "/plain", expect=4)
        say("Names outside the path grammar were reported and skipped, hence exit 4.")
        say("With --encode-names they go along, and come back as they were:")
        self.command("put", "-r", "--encode-names", "tree", "/python")
        self.command("get", "-r", "--decode-names", "/python", "back")
        compare_trees(tree, self.folder / "back")
        say(f"A blob of {self.blob_mib} MiB:")
        blob = self.folder / "blob"
        make_blob(blob, self.blob_mib)
        for words in (
            ("put", "blob", "/blobs/large"),
            ("get", "/blobs/large", "blob.back"),
        ):
            rate = self.blob_mib * MIB / self.command(*words)
            say(f"  {rate / 1e6:,.0f} MB/s, start of the command and fsync included")
        if digest(blob) != digest(self.folder / "blob.back"):
            raise SystemExit("demo: the blob came back different")
        say("  its SHA-256 is the same\n")
        self.command("stat", "/blobs/large")
        self.command("ls", "/")
        self.command("status")

    def command(self, *words: str, expect: int = 0) -> float:
        """Run one command, shown as a user would type it; returns its seconds."""
        print(f"\n$ storagebus {' '.join(words)}", flush=True)
        start = time.perf_counter()
        done = subprocess.run(
            [*TOOL, *words],
            cwd=self.folder,
            env=self.environment,
            timeout=COMMAND_S_MAX,
        )
        if done.returncode != expect:
            raise SystemExit(f"demo: exit code {done.returncode}, {expect} was due")
        took = time.perf_counter() - start
        print(f"  ({took:.1f} s)", flush=True)
        return took

    def start_bus(self) -> subprocess.Popen[str]:
        """`storagebus up`, until it says that it is ready."""
        words = ["up", "--data", "data", "--endpoint", self.endpoint]
        print(f"$ storagebus {' '.join(words)} &", flush=True)
        bus = subprocess.Popen(
            [*TOOL, *words], cwd=self.folder, stdout=subprocess.PIPE, text=True
        )
        ready = [*TOOL, "ready", "--timeout", str(READY_S_MAX)]
        subprocess.run(ready, env=self.environment, check=True, timeout=60)
        assert bus.stdout is not None
        print(bus.stdout.readline(), end="", flush=True)
        return bus


def say(text: str) -> None:
    """A line for the reader."""
    print(f"\n{text}" if not text.startswith(" ") else text, flush=True)


def copy_library(tree: Path) -> int:
    """Copy the standard library, bounded, and add names outside the path grammar."""
    library = Path(sysconfig.get_path("stdlib"))
    count = 0
    for source in files_of(library):
        name = source.relative_to(library)
        if "site-packages" in name.parts or "dist-packages" in name.parts:
            continue
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        count += 1
        if count == FILES_MAX:
            break
    for name in ODD_NAMES:
        (tree / name).write_text(f"{name}: a name that no registry path may have\n")
    return count + len(ODD_NAMES)


def files_of(folder: Path) -> Iterator[Path]:
    """Regular files below a folder, in a fixed order."""
    for path, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            found = Path(path, name)
            if found.is_file() and not found.is_symlink():
                yield found


def make_blob(path: Path, mib: int) -> None:
    """Random bytes in which every piece differs from every other."""
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(MIB))


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def compare_trees(before: Path, after: Path) -> None:
    """End the demonstration if the trees differ in any name or byte."""
    first = {path.relative_to(before): digest(path) for path in files_of(before)}
    second = {path.relative_to(after): digest(path) for path in files_of(after)}
    if first != second:
        odd = sorted(map(str, set(first.items()) ^ set(second.items())))[:5]
        raise SystemExit(f"demo: the trees differ: {odd}")
    say(f"  all {len(first):,} SHA-256 digests are the same\n")


def main() -> None:
    """Run the demonstration."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--blob-mib", type=int, default=1024, help="default 1024")
    options = arguments.parse_args()
    folder = Path(__file__).resolve().parents[2] / "build" / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # A Unix socket's path is short; this folder's may not be.
    with tempfile.TemporaryDirectory(prefix="storagebus-") as sockets:
        demo = Demo(folder, Path(sockets), options.blob_mib)
        bus = demo.start_bus()
        try:
            demo.run()
        finally:
            bus.terminate()
            code = bus.wait(STOP_S_MAX)
            shutil.rmtree(folder, ignore_errors=True)
    print(
        f"\nThe bus was stopped (exit code {code}). To go on:\n"
        "  .venv/bin/storagebus up                 a bus for yourself, data in "
        "./storagebus-data\n"
        "  .venv/bin/storagebus --help             the commands\n"
        "  .venv/bin/storagebus conform --driver filesystem "
        '--parameters \'{"rootdirectory": "/tmp/x"}\'\n'
        "  README.md, ARCHITECTURE.md, PROTOCOL.md"
    )


if __name__ == "__main__":
    main()
