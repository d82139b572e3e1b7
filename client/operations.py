"""The operations of the bus, with retries: what both clients are made of.

Everything that waits is a coroutine, see `waiting`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from ..broker.lanes import Descriptor
from ..broker.messages import (
    BUS_SERVICE,
    DIRECT,
    DOWNLOADS,
    INLINE_BYTES_MAX,
    LANE_CALLS,
    NAME_CHARACTERS_MAX,
    OWN_FAULTS,
    Hello,
    Open,
    Operation,
    Result,
    error_of,
    make,
    pack,
    parse,
)
from ..broker.wire import CHUNK_BYTES_MAX, Payload, Type
from ..drivers.contract import Capabilities, FileInfo, UploadState, UploadStatus
from ..drivers.errors import (
    BusyError,
    DeadlineExceededError,
    Executed,
    InvalidParameterError,
    PoisonRequestError,
    ProtocolError,
    StorageError,
    TooLargeError,
)
from .calllanes import PATIENCE_S, LanePool
from .lanes import Lanes
from .requests import Request
from .retry import SAFETY, Attempts, RetryBudget, Safety, can_help
from .waiting import Transport

DEADLINE_S_MAX = 7 * 24 * 3600.0

_UNCLEARED = DeadlineExceededError, PoisonRequestError
"""Errors that are no answer of a worker's, although no retry helps."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a service says of its driver."""

    driver: str
    api_version: str
    capabilities: Capabilities

    @classmethod
    def of(cls, said: Result | Hello) -> Description:
        """What a worker says of its driver, when asked or in its greeting."""
        capabilities = Capabilities.from_fields(said.capabilities or {})
        return cls(said.driver, said.api_version, capabilities)


class Done(NamedTuple):
    """What an operation by a call lane has brought.

    Attributes:
        result: its map.
        payload: its bytes.
        file: instead of them, a descriptor of the file that they are in.
    """

    result: Result
    payload: Payload
    file: Descriptor | None


class Operations:
    """One service behind some brokers.

    Args:
        transport: the way there.
        service: the name of the service.
        deadline: seconds that a call may take, and one that moves bytes, or takes long
            and shows that it moves on, without getting further than ever; retries
            included.
        chance: a source of numbers from 0 to 1, which spread retries.

    Attributes:
        lanes: what goes past the broker where it can.
        downloads: ids of the open downloads, which share what may arrive ahead.
        uploads: ids of the open uploads, which share what is kept to be sent again.
        budget: what all retries together may cost.
    """

    def __init__(
        self,
        transport: Transport,
        service: str,
        deadline: float,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.transport = transport
        self.service = _check_service(service)
        self.deadline = check_deadline(deadline)
        self.lanes = Lanes.of(os.environ)
        self.downloads: set[int] = set()
        self.uploads: set[int] = set()
        self.budget = RetryBudget()
        self._chance = chance
        self._description: Description | None = None

    @cached_property
    def scratch(self) -> memoryview:
        """Memory for whoever drives an event loop, who copies from it at once: it is
        made once, and stays in the processor's cache."""
        return memoryview(bytearray(CHUNK_BYTES_MAX))

    @property
    def known(self) -> Description | None:
        """The description, if it was asked for before."""
        return self._description

    async def describe(self) -> Description:
        """Name, version and capabilities of the driver; asked for once."""
        if self._description is None:
            done = await self.call(Operation.DESCRIBE, Open(self.service))
            self._description = Description.of(done)
        return self._description

    def describe_as(self, description: Description) -> None:
        """The description is known from elsewhere."""
        self._description = description

    async def stat(self, path: str, *, ends: float | None = None) -> FileInfo:
        """See `StorageDriver`; so for the methods that follow."""
        arguments = make(Open, service=self.service, path=path)
        return (await self.call(Operation.STAT, arguments, ends=ends)).info()

    async def put(self, path: str, content: Payload) -> None:
        """Store a content that fits into one message."""
        arguments = make(Open, service=self.service, path=path)
        await self.call(Operation.PUT, arguments, content)

    async def redirect_url(self, path: str, method: str, expires: int) -> str | None:
        arguments = Open(self.service, path, method=method, expires=expires)
        return (await self.call(Operation.REDIRECT_URL, arguments)).url

    async def upload_status(
        self, path: str, upload_id: str, *, ends: float | None = None
    ) -> UploadStatus:
        arguments = Open(self.service, path, upload_id=upload_id)
        done = await self.call(Operation.UPLOAD_STATUS, arguments, ends=ends)
        try:
            state = UploadState(done.state)
        except ValueError:
            raise ProtocolError(f"upload_status: state {done.state!r}") from None
        return UploadStatus(state, done.durable, done.identity)

    async def bus_status(self) -> bytes:
        """The broker's report on itself and its services, as JSON."""
        return (await self.call(Operation.STATUS, Open(BUS_SERVICE))).status

    async def drain(self, worker: str) -> None:
        """Have the broker drain a worker."""
        await self.call(Operation.DRAIN, Open(BUS_SERVICE, worker=worker))

    async def report_ending(self, cookie: str, crashed: bool) -> None:
        """Tell the broker how a worker's process ended."""
        arguments = Open(BUS_SERVICE, cookie=cookie, crashed=crashed)
        await self.call(Operation.OBITUARY, arguments)

    async def call(
        self,
        operation: Operation,
        arguments: Open,
        payload: Payload = b"",
        *,
        ends: float | None = None,
        attempts: Attempts | None = None,
    ) -> Result:
        """Perform a call, again where that is safe and can help.

        Args:
            operation: which.
            arguments: its map.
            payload: content of a put.
            ends: when it must have ended; without it the deadline says so.
            attempts: of which these are some.

        Raises:
            StorageError: what the last attempt met.
        """
        attempts = attempts or self.attempts(SAFETY[operation])
        if ends is not None:
            attempts.ends = ends
        if operation in DIRECT:
            done = await self.by_lane(operation, arguments, payload, attempts)
            if done is not None:
                return done.result
            arguments = self.asking(arguments)
        while True:
            request = Request.of(
                operation,
                arguments,
                self.left(attempts),
                payload=payload,
                patience_s=self.deadline,
            )
            handle = self.transport.begin(request, brief=True)
            try:
                result = (await handle.finish()).result
            except StorageError as error:
                failure = error
                self.extend(attempts, handle.moved_at)
                if not (can_help(error) or isinstance(error, _UNCLEARED)):
                    self.cleared(operation, arguments.path)
            else:
                self.budget.succeeded()
                self.cleared(operation, arguments.path)
                self.admit(result)
                return result
            finally:
                handle.release()
            await self.pause(attempts, failure)

    async def by_lane(
        self,
        operation: Operation,
        arguments: Open,
        payload: Payload,
        attempts: Attempts,
        *,
        takes_file: bool = False,
    ) -> Done | None:
        """Perform an operation of `DIRECT` by a call lane, where there is one free.

        Args:
            operation: which.
            arguments: its map.
            payload: content of a put.
            attempts: those of the operation; this one does not count.
            takes_file: whether a descriptor may come with the answer.

        Returns:
            What it has brought; None when it is to go by the bus.

        Raises:
            StorageError: it has failed, and would fail again.
        """
        pool = self.transport.call_lanes if self.lanes.calls else None
        now = self.transport.now()
        if pool is None or attempts.ends - now < PATIENCE_S:
            return None
        asked = operation, arguments.path
        if pool.suspects and pool.suspects.has(asked, now):
            return None
        lane = await pool.lane(operation, now)
        if lane is None:
            return None
        try:
            answer = await lane.ask(operation, pack(arguments), payload, takes_file)
            if answer is not None and answer.message.code in OWN_FAULTS:
                lane.close()  # the broker is to say who else there is
        finally:
            pool.give_back(lane)
        if answer is None:
            pool.suspects.add(asked, now)
            attempts.may_have_run = True
            return None
        message = answer.message
        if message.type is Type.RESULT:
            pool.fitted(operation)
            self.budget.succeeded()
            result = parse(Result, message.fields)
            return Done(result, message.payload, answer.file)
        error = error_of(message)
        if isinstance(error, TooLargeError) and operation in DOWNLOADS:
            pool.too_large(operation)
        elif isinstance(error, BusyError) and error.executed is Executed.NO:
            pool.declined(operation, now + (error.retry_after_s or 0.0))
        elif (
            error.code in OWN_FAULTS
            or can_help(error)
            or isinstance(error, DeadlineExceededError)
        ):
            attempts.may_have_run |= error.executed is not Executed.NO
        else:
            raise error
        return None

    def asking(self, arguments: Open) -> Open:
        """The arguments of an operation that goes by the bus, with the wish for a call
        lane if one is missing."""
        if not self._wants_lane():
            return arguments
        kinds = (*(arguments.lane_kinds if arguments.lane else ()), LANE_CALLS)
        given = {**vars(arguments), "lane": self.lanes.host, "lane_kinds": kinds}
        return make(Open, **given)

    def admit(self, result: Result) -> None:
        """Take up the call lane that a worker offers, if it does."""
        pool = self._pool() if result.lane == LANE_CALLS else None
        if pool is not None:
            pool.admit(result)

    def cleared(self, operation: Operation, path: str) -> None:
        """A call has had its answer by the bus: it may go by a lane again."""
        pool = self._pool()
        if pool is not None and pool.suspects:
            pool.suspects.clear((operation, path))

    def _pool(self) -> LanePool | None:
        try:
            return self.transport.call_lanes
        except StorageError:
            return None  # the client is closed

    def _wants_lane(self) -> bool:
        if not self.lanes.calls:
            return False
        pool = self.transport.call_lanes
        return pool is not None and pool.wants(
            self.transport.now(), self.lanes.calls_first
        )

    def attempts(self, safety: Safety) -> Attempts:
        """The attempts of an operation that starts now."""
        ends = self.transport.now() + self.deadline
        return Attempts(safety, ends, self.budget)

    def left(self, attempts: Attempts) -> float:
        """Seconds that the next attempt may take."""
        return max(0.001, attempts.ends - self.transport.now())

    def extend(self, attempts: Attempts, moved_at: float) -> None:
        """What these attempts are for has got further than ever at this time."""
        if moved_at + self.deadline > attempts.ends:
            attempts.progressed(moved_at + self.deadline)

    async def pause(self, attempts: Attempts, error: StorageError) -> None:
        """Wait before the next attempt, or raise when there shall be none."""
        now = self.transport.now()
        pause = attempts.pause_s(error, now, self._chance())
        if pause is None:
            await self.transport.explain(error)
            raise attempts.final(error)
        if pause:
            await self.transport.sleep(pause)


def fits_inline(content: Payload) -> bool:
    """Whether a content goes into one message."""
    return len(content) <= INLINE_BYTES_MAX


def check_deadline(deadline: object) -> float:
    """A deadline in seconds.

    Raises:
        InvalidParameterError: it is none.
    """
    if isinstance(deadline, (int, float)) and not isinstance(deadline, bool):
        seconds = float(deadline)
        if 0 < seconds <= DEADLINE_S_MAX:
            return seconds
    raise InvalidParameterError(
        f"deadline: a number of seconds above 0 and up to {DEADLINE_S_MAX:.0f}"
    )


def _check_service(service: object) -> str:
    if isinstance(service, str) and 0 < len(service) <= NAME_CHARACTERS_MAX:
        return service
    raise InvalidParameterError(
        f"service: a name of 1 to {NAME_CHARACTERS_MAX} characters"
    )
