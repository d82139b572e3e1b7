"""What the clients' applications do, and what they make of the answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from typing import TYPE_CHECKING, TypeVar

from storagebus.client import certainty
from storagebus.client.downloads import Reading
from storagebus.client.listings import Listing, Walking
from storagebus.client.puts import put_whole
from storagebus.client.uploads import DROP_S_MAX, Upload
from storagebus.drivers.errors import (
    DataLossError,
    PathNotFoundError,
    StorageError,
)

from . import contest
from .clientnode import ClientNode, Course
from .ledger import Kind, Write
from .loop import Pause
from .violation import require
from .workernode import LONG, POISON

if TYPE_CHECKING:
    from .world import World

_T = TypeVar("_T")

SLACK_S = 0.3
"""How much later than its deadline a call may end: its loop wakes up late."""
SETTLE_S = 1.0
GIVE_UP_CHANCE = 0.02
"""How often a reader closes before the next piece."""


class Script:
    """One task of an application: operations on paths that it alone writes.

    Args:
        world: where it happens.
        client: its process.
        number: which of the client's tasks.
        service: number of the service that it uses.

    Attributes:
        world, client: as above.
        operations: the service.
        chance: its own.
        failure: of the last read that failed.
    """

    def __init__(
        self, world: World, client: ClientNode, number: int, service: int
    ) -> None:
        self.world = world
        self.client = client
        self.operations = client.services[service]
        self.chance = Random(world.chance.random())
        self._store = world.stores[service]
        self._name = f"{client.name}.{client.incarnation}/t{number}"
        self._home = f"/{self._store.service}/{self._name}"
        self._count = 0
        self._paths: list[str] = []
        self.failure: StorageError | None = None

    async def run(self, operations: int) -> None:
        """Do so many operations, one after another."""
        for _ in range(operations):
            if self.chance.random() < 0.3:
                await self.client.sleep(self.chance.uniform(0.0, 3.0))
            dice = self.chance.random()
            if dice < self.world.options.poison:
                act = Script.poison
            elif dice - self.world.options.poison < self.world.options.rivalry:
                act = self.chance.choice((contest.begin, contest.begin, contest.seize))
            else:
                (act,) = self.chance.choices(list(_ACTS), list(_ACTS.values()))
            await act(self)

    async def farewell(self, ending: str) -> None:
        """All is healed: now everything must succeed.

        Args:
            ending: of the path, which may say that to delete it takes long.
        """
        path = f"{self._home}/farewell{ending}"
        content = self.world.ledger.content(10)
        put = self.operations.put(path, content)
        error = await self.write(Write(Kind.PUT, path, content), put)
        require(error is None, f"after all was healed: {error!r}")
        got = await self._read(path)
        require(got == content, f"after all was healed: {self.failure!r}")
        delete = certainty.delete(self.operations, path)
        self.set_out(path)
        error = await self.write(Write(Kind.DELETE, path, None), delete)
        require(error is None, f"after all was healed: {error!r}")

    # -- writing --------------------------------------------------------------

    async def put(self) -> None:
        """Store an object, in one message or as an upload."""
        path = self._some_path()
        content = self.content()
        operations = self.operations
        if self.chance.random() < 0.6:
            await self.write(
                Write(Kind.PUT, path, content), operations.put(path, content)
            )
        else:
            whole = put_whole(operations, path, content)
            self.set_out(path)
            # What it could not store it tries to drop, once its time is over.
            await self.write(Write(Kind.PUT, path, content), whole, DROP_S_MAX)

    async def move(self) -> None:
        """Move an object to a new path."""
        source = self._existing_path()
        if source is None:
            return
        destination = self._new_path()
        content = self.world.ledger.held(source)
        move = certainty.move(self.operations, source, destination)
        write = Write(Kind.MOVE, destination, content, source=source)
        self.set_out(source)
        self.client.courses[destination] = self.client.courses[source]
        await self.write(write, move)
        self._paths.remove(source)  # a path is moved from once

    async def delete(self) -> None:
        """Delete an object."""
        path = self._existing_path()
        if path is None:
            return
        self._paths.remove(path)  # a path is deleted once
        delete = certainty.delete(self.operations, path)
        self.set_out(path)
        await self.write(Write(Kind.DELETE, path, None), delete)

    async def poison(self) -> None:
        """Ask for what ends whoever does it, as applications do: again and again."""
        self._count += 1
        path = f"/{self._store.service}{POISON}{self._name}/{self._count}"
        for _ in range(self.chance.randint(1, 4)):
            try:
                if self._count % 2:
                    await self.timed(self.operations.stat(path))
                else:
                    await self.timed(self.operations.put(path, b"poison"))
            except StorageError as error:
                self.world.count("poison", error)
            else:
                require(False, f"{path} has ended well")

    async def upload(self) -> None:
        """Write an object piece by piece, perhaps in two sessions."""
        path = self._some_path()
        content = self.content()
        upload = Upload(self.operations, path)
        self.set_out(path)
        if await self._fill(upload, path, content):
            await self._finish(upload, path, content)
        upload.abandon()

    async def continue_upload(self) -> None:
        """Go on with an upload that a client which has died left behind."""
        left = self.world.take_left_upload(self._store.service)
        if left is None:
            await self.put()
            return
        path, upload_id, content = left
        self._paths.append(path)
        upload = Upload(self.operations, path, upload_id=upload_id)
        self.set_out(path)
        if await self._fill(upload, path, content):
            await self._finish(upload, path, content)
        upload.abandon()

    async def _fill(self, upload: Upload, path: str, content: bytes) -> bool:
        """Open, and write what is missing; False when the upload is given up."""
        world, client = self.world, self.client
        try:
            await self.timed(upload.open())
            require(upload.size <= len(content), "an upload has grown")
            world.upload_begun(client, upload.upload_id, path, content)
            at = upload.size
            while at < len(content):
                count = self.chance.choice((1, 500, 1_500, len(content)))
                await self.timed(upload.write(content[at : at + count]), path)
                at += count
                self._check_durable(upload)
                require(upload.size == min(at, len(content)), "bytes are miscounted")
                if self.chance.random() < 0.2:
                    await self.client.sleep(self.chance.uniform(0.0, 2.0))
        except StorageError:
            if self.chance.random() < 0.5 and upload.size == len(content):
                await self._commit(upload, path, content)  # it may work all the same
            else:
                await self._cancel(upload)
            return False
        finally:
            if not client.is_dead:
                world.upload_ended(upload.upload_id)
        return True

    async def _finish(self, upload: Upload, path: str, content: bytes) -> None:
        dice = self.chance.random()
        if dice < 0.6:
            await self._commit(upload, path, content)
        elif dice < 0.8:
            await self._close_and_continue(upload, path, content)
        elif dice < 0.9:
            await self._cancel(upload)

    async def _commit(self, upload: Upload, path: str, content: bytes) -> None:
        write = Write(Kind.COMMIT, path, content)
        error = await self.write(write, upload.commit())
        if error is not None and self.chance.random() < 0.5:
            await self._cancel(upload)

    async def _close_and_continue(
        self, upload: Upload, path: str, content: bytes
    ) -> None:
        try:
            await self.timed(upload.close(), path)
        except StorageError:
            return
        by_name = self.chance.random() < 0.5
        operations = self.operations
        again = (
            Upload(operations, path, upload_id=upload.upload_id)
            if by_name
            else Upload(operations, path, append=True)
        )
        self.set_out(path)
        try:
            await self.timed(again.open())
            require(again.size == len(content), "what was kept has changed")
        except StorageError:
            again.abandon()
            return
        await self._commit(again, path, content)
        again.abandon()

    async def _cancel(self, upload: Upload) -> None:
        try:
            await self.timed(upload.cancel())
        except StorageError:
            pass

    async def write(
        self, write: Write, act: Awaitable[None], more_s: float = 0.0
    ) -> StorageError | None:
        """Have something written, and wait until nothing of it can follow."""
        world, ledger = self.world, self.world.ledger
        ledger.begin(write)
        doubts = self.client.doubts
        error: StorageError | None = None
        try:
            await self.timed(act, write.path, more_s)
        except StorageError as failure:
            error = failure
        ledger.end(write, error)
        world.count(write.kind.value, error)
        if error is not None or self.client.doubts > doubts:
            while not ledger.is_settled(write):
                await self.client.sleep(SETTLE_S)
        return error

    def _check_durable(self, upload: Upload) -> None:
        stored = self._store.uploads.get(upload.upload_id)
        if stored is not None:
            require(
                upload.durable <= len(stored.data),
                f"{upload.durable} bytes of {upload.upload_id} are said to be durable, "
                f"{len(stored.data)} are",
            )

    # -- reading --------------------------------------------------------------

    async def read(self) -> None:
        """Read an object of anybody."""
        paths = [path for path in self.world.ledger.paths() if self.may_use(path)]
        path = self.chance.choice(paths) if paths else self._some_path()
        start = self.chance.choice((0, 0, 0, 1, 700))
        length = self.chance.choice((None, None, 1, 900))
        await self._read(path, start, length, GIVE_UP_CHANCE)

    async def _read(
        self,
        path: str,
        start: int = 0,
        length: int | None = None,
        give_up_chance: float = 0.0,
    ) -> bytes | None:
        ledger, since = self.world.ledger, self.world.loop.now
        reading = Reading(self.operations, path, start, length)
        got = bytearray()
        whole = False
        try:
            await self.timed(reading.open())
            while (piece := await self.timed(reading.piece())) is not None:
                got += piece
                if self.chance.random() < 0.1:
                    await self.client.sleep(self.chance.uniform(0.0, 2.0))
                if self.chance.random() < give_up_chance:
                    break
            else:
                whole = True
        except PathNotFoundError:
            require(None in ledger.seen(path, since), f"{path} was always there")
            return None
        except DataLossError as error:
            seen = ledger.seen(path, since)
            require(len(seen) > 1, f"{path} has not changed, and yet: {error}")
            return None
        except StorageError as error:
            self.failure = error
            self.world.count("read", error)
            return None
        finally:
            reading.close()
        end = None if length is None else start + length
        wanted = [c[start:end] for c in ledger.seen(path, since) if c is not None]
        if not whole:
            wanted = [content[: len(got)] for content in wanted]
        require(
            bytes(got) in wanted,
            f"{len(got)} bytes were read of {path}, which never held them",
        )
        self.world.count("read", None)
        return bytes(got) if whole else None

    async def stat(self) -> None:
        """Ask for the size of an object."""
        path = self._some_path()
        ledger, since = self.world.ledger, self.world.loop.now
        try:
            info = await self.timed(self.operations.stat(path))
        except PathNotFoundError:
            require(None in ledger.seen(path, since), f"{path} was always there")
        except StorageError:
            pass
        else:
            sizes = [len(c) for c in ledger.seen(path, since) if c is not None]
            require(info.size in sizes, f"{path} never had {info.size} bytes")

    async def list(self) -> None:
        """List this task's own directory, which nobody else changes."""
        listing = Listing(self.operations, self._home)
        self.set_out(self._home)
        try:
            names = await self.timed(listing.gather(), self._home)
        except PathNotFoundError:
            names = []
        except StorageError:
            return
        finally:
            listing.close()
        self._check_names(names)

    async def walk(self) -> None:
        """Walk this task's own directory."""
        walking = Walking(self.operations, self._home, None)
        names = []
        try:
            await self.timed(walking.open())
            while (info := await self.timed(walking.entry())) is not None:
                names.append(info.path)
        except PathNotFoundError:
            pass
        except StorageError:
            return
        finally:
            walking.close()
        self._check_names(names)

    def _check_names(self, names: list[str]) -> None:
        ledger = self.world.ledger
        mine = [path for path in ledger.paths() if path.startswith(self._home + "/")]
        held = sorted(path for path in mine if ledger.held(path) is not None)
        require(names == held, f"{self._home} holds {held}, and was said: {names}")

    # -- within ---------------------------------------------------------------

    def set_out(self, path: str) -> None:
        """What follows moves bytes to this path, or from it."""
        self.client.courses[path] = Course()

    async def timed(
        self, act: Awaitable[_T], path: str = "", more_s: float = 0.0
    ) -> _T:
        """Wait for something that must end within the deadline, since it began or its
        bytes got further than ever.

        Args:
            act: what to wait for.
            path: where it moves bytes to or from, if it does.
            more_s: seconds that it may take in addition.
        """
        client = self.client
        since = client.ran_s
        try:
            return await act
        finally:
            course = client.courses.get(path)
            if course is not None:
                since = max(since, course.moved_at)
            took_s = client.ran_s - since
            most_s = self.world.options.deadline_s + SLACK_S + more_s
            require(
                took_s <= most_s or client.is_dead,
                f"{_name(act)} took {took_s:.2f} s of {most_s:.2f} s",
            )

    def content(self) -> bytes:
        """Bytes that nobody else writes, of some size."""
        most = self.world.options.object_bytes_max
        size = self.chance.choice((0, self.chance.randint(0, most), most))
        return self.world.ledger.content(size)

    def contested_path(self) -> str:
        """A path outside of what this task alone writes."""
        self._count += 1
        return f"/{self._store.service}/contested/{self._name}/{self._count}"

    def may_use(self, path: str) -> bool:
        """Whether a path is one of this task's service."""
        return path.startswith(f"/{self._store.service}/")

    def claimed(self, upload_id: str, generation: int) -> bytes:
        """What an upload held when it was claimed."""
        return self._store.claimed(upload_id, generation)

    def _new_path(self) -> str:
        self._count += 1
        path = f"{self._home}/{self._count}"
        long_chance = self.world.options.long_chance
        if long_chance and self.chance.random() < long_chance:
            path += LONG
        self._paths.append(path)
        return path

    def _some_path(self) -> str:
        if self._paths and self.chance.random() < 0.7:
            return self.chance.choice(self._paths)
        return self._new_path()

    def _existing_path(self) -> str | None:
        held = self.world.ledger.held
        paths = [path for path in self._paths if held(path) is not None]
        return self.chance.choice(paths) if paths else None


def _name(act: object) -> str:
    return str(getattr(act, "__qualname__", act))


_ACTS: dict[Callable[[Script], Coroutine[Pause, None, None]], int] = {
    Script.put: 6,
    Script.upload: 6,
    Script.continue_upload: 1,
    Script.read: 6,
    Script.move: 2,
    Script.delete: 2,
    Script.stat: 1,
    Script.list: 1,
    Script.walk: 1,
}
