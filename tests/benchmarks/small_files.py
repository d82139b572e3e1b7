"""Many small files, put and got by 16 threads at once."""

from __future__ import annotations

from collections.abc import Iterator

from blobs import PIECE
from figures import Figure, at_least
from measure import at_once, ratio
from scene import Scene, rates

from storagebus.drivers import StorageDriver

AT_ONCE = 16
FILE_BYTES = 4096
PLACES = len(PIECE) // FILE_BYTES
ROUNDS_MAX = 3


def figures(scene: Scene) -> Iterator[Figure]:
    bus, own, count = scene.client, scene.local, scene.sizes.files
    a, b, r = ratio(
        lambda: files_rate(bus, "/many-bus", count),
        lambda: files_rate(own, "/many-own", count),
        min(ROUNDS_MAX, scene.sizes.rounds),
    )
    what = f"{count:,} x 4 KiB put and get, {AT_ONCE} at once, bus / in-process"
    yield Figure(what, r, at_least(0.4), rates(a, b))


def files_rate(driver: StorageDriver, directory: str, count: int) -> float:
    """Operations a second; the files are gone afterwards."""

    def work(thread: int) -> None:
        mine = range(thread, count, AT_ONCE)
        for number in mine:
            driver.put_content(path(number), content(number))
        for number in mine:
            if driver.get_content(path(number)) != content(number):
                raise SystemExit(f"{path(number)} came back as another content")

    def path(number: int) -> str:
        return f"{directory}/{number % 100}/{number}"

    took = at_once(work, AT_ONCE)
    driver.delete(directory)
    return 2 * count / took


def content(number: int) -> bytes:
    """A file's bytes."""
    start = number % PLACES * FILE_BYTES
    return PIECE[start : start + FILE_BYTES]
