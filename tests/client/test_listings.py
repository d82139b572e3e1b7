"""client/listings.py: jumps over directories, and pages that are none."""

from __future__ import annotations

import msgpack
import pytest
from scripted_transport import Script, Stream

from storagebus.broker.messages import Accepted, Operation
from storagebus.client import Client
from storagebus.client.listings import SKIPPED_MAX, Listing, Walking
from storagebus.client.operations import Operations
from storagebus.client.retry import ATTEMPTS_MAX
from storagebus.client.waiting import run_now
from storagebus.drivers.errors import ProtocolError, StorageError, WorkerLostError


def test_a_skipped_directory_of_any_size_is_left_out(client: Client) -> None:
    count = 3 * SKIPPED_MAX
    for number in range(count):
        client.put_content(f"/jump/b/{number:05}", b"")
    for name in ("a", "b-1", "b0", "c/x"):
        client.put_content(f"/jump/{name}", b"")
    found = []
    walk = client.walk("/jump")
    for info in walk:
        found.append(info.path)
        if info.path == "/jump/b":
            walk.skip()
    assert found == [
        "/jump/a",
        "/jump/b-1",
        "/jump/b",
        "/jump/b0",
        "/jump/c",
        "/jump/c/x",
    ]


class Pages(Stream):
    """A stream of pages, whatever they hold."""

    has_lane = False

    def __init__(self, *pages: object) -> None:
        super().__init__()
        self._pages = [
            page if isinstance(page, StorageError) else msgpack.packb(page)
            for page in pages
        ]

    async def opened(self) -> Accepted:
        return Accepted()

    async def piece(self) -> bytes | None:
        page = self._pages.pop(0) if self._pages else None
        if isinstance(page, StorageError):
            raise page
        return page


@pytest.mark.parametrize("page", [{"a": 1}, "/a", [1], [b"/a"], [["/a"]]])
def test_a_page_of_names_that_is_none_is_refused(page: object) -> None:
    transport = Script((Operation.LIST, Pages(["/x"], page)))
    listing = Listing(Operations(transport, "default", 30.0), "/")
    with pytest.raises(ProtocolError):
        run_now(listing.gather())


@pytest.mark.parametrize(
    "entry", ["/a", [], ["/a", 1, None, True], ["/a", "1", None, False, None]]
)
def test_an_entry_of_a_walk_that_is_none_is_refused(entry: object) -> None:
    transport = Script((Operation.WALK, Pages([entry])))
    walking = Walking(Operations(transport, "default", 30.0), "/", None)
    with pytest.raises(ProtocolError):
        run_now(walking.entry())


def test_a_listing_that_gets_no_further_ends() -> None:
    """A worker is lost after each first page: to list it again is no progress."""

    class Slow(Pages):
        async def piece(self) -> bytes | None:
            transport.time += 2.0
            return await super().piece()

    transport = Script()
    for _ in range(ATTEMPTS_MAX):
        transport.add(Operation.LIST, Slow(["/a"], WorkerLostError()))
    began = transport.time
    with pytest.raises(WorkerLostError):
        run_now(Listing(Operations(transport, "default", 30.0), "/").gather())
    assert 25.0 < transport.time - began <= 2.0 + 30.0 + 4.0


def test_a_listing_that_gets_further_has_the_deadline_anew() -> None:
    transport = Script()
    pages = [[f"/{page}"] for page in range(9)]
    asked = []
    for count in range(1, 9):
        asked.append(Pages(*pages[:count], WorkerLostError()))
        transport.add(Operation.LIST, asked[-1])
    asked.append(Pages(*pages))
    transport.add(Operation.LIST, asked[-1])
    found = run_now(Listing(Operations(transport, "default", 30.0), "/").gather())
    assert found == [f"/{page}" for page in range(9)]
    sizes = [len(msgpack.packb(page)) for page in pages]
    assert [s.request.mark for s in asked] == [sum(sizes[:n]) for n in range(9)]
    transport.close()
