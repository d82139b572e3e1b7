"""Processes of a benchmark's own: peers to compare with, and what makes load.

One prints "ready" when it can begin. A load then reads a line of JSON for each thing
that it shall do, and answers with another; it ends with its standard input.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

STOP_S_MAX = 20


class Child:
    """A Python program.

    Args:
        file: the program.
        words: its arguments.

    Raises:
        SystemExit: it did not say that it is ready.
    """

    def __init__(self, file: str, *words: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, file, *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        assert self._process.stdout is not None
        self.ready = self._process.stdout.readline().strip()
        if not self.ready:
            self.close()
            raise SystemExit(f"{file} did not start")

    def ask(self, question: Any = None) -> Any:
        """Have it do something, and wait for the answer."""
        self.tell(question)
        return self.answer()

    def tell(self, question: Any = None) -> None:
        """Have it do something."""
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(json.dumps(question) + "\n")
        stdin.flush()

    def answer(self) -> Any:
        """The answer to what it was told.

        Raises:
            SystemExit: it has ended instead.
        """
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self._process.args!r} has failed")
        return json.loads(answer)

    def close(self) -> None:
        """End it. Harmless when repeated."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        if process.poll() is None:
            process.terminate()
            process.wait(STOP_S_MAX)
        process.stdin.close()
        process.stdout.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def say(word: str) -> None:
    """In a child: the line that its parent waits for."""
    print(word, flush=True)


def serve(do: Callable[[Any], Any]) -> None:
    """In a child: say that it is ready, then do what is asked until the end."""
    say("ready")
    for question in sys.stdin:
        say(json.dumps(do(json.loads(question))))
