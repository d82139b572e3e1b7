"""A host of its own for a process: a network namespace at the end of a cable.

The cable can be pulled: packets vanish, and nobody is told. Needs root and `ip`.
"""

from __future__ import annotations

import os
import subprocess


class CannotIsolate(Exception):
    """This machine allows no network namespaces."""


class Namespace:
    """A network namespace and the pair of devices that leads there; to be closed.

    Attributes:
        address: of the host within, for this one.

    Raises:
        CannotIsolate: it cannot be had here.
    """

    def __init__(self) -> None:
        number = os.getpid() % 60_000
        self._name = f"sbc{number}"
        self._outer, self._inner = f"sbo{number}", f"sbi{number}"
        # A network of 4 addresses out of 10.64.0.0/10.
        base = (10 << 24) + (64 << 16) + number * 4
        ours, theirs = (_dotted(base + last) for last in (1, 2))
        self.address = theirs
        inside = ("netns", "exec", self._name, "ip")
        try:
            _ip("netns", "add", self._name)
            _ip("link", "add", self._outer, "type", "veth", "peer", self._inner)
            _ip("link", "set", self._inner, "netns", self._name)
            _ip("address", "add", f"{ours}/30", "dev", self._outer)
            _ip("link", "set", self._outer, "up")
            _ip(*inside, "address", "add", f"{theirs}/30", "dev", self._inner)
            for device in (self._inner, "lo"):
                _ip(*inside, "link", "set", device, "up")
        except (OSError, subprocess.CalledProcessError) as error:
            self.close()
            raise CannotIsolate(f"no network namespace: {error}") from None

    @property
    def prefix(self) -> tuple[str, ...]:
        """What a command line begins with that runs within."""
        return "ip", "netns", "exec", self._name

    def unplug(self) -> None:
        """Pull the cable."""
        _ip("link", "set", self._outer, "down")

    def plug_in(self) -> None:
        """Put it back."""
        _ip("link", "set", self._outer, "up")

    def close(self) -> None:
        """Remove it, and with it the devices."""
        for words in (("link", "del", self._outer), ("netns", "del", self._name)):
            try:
                subprocess.run(["ip", *words], capture_output=True, check=False)
            except OSError:
                pass


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], capture_output=True, check=True)


def _dotted(number: int) -> str:
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
