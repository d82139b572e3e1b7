"""One operation of a client, as a machine: a call, a download or an upload.

Pure. PROTOCOL.md section 6 is the specification. A stream is told of every message
that arrives for it, appends to an `Output` what is to be sent and told, and keeps the
time at which it has waited too long (`expires`): that clock stands still while it is
the application that the stream waits for.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Any

from ..broker.flow import Inflow, Outflow
from ..broker.messages import (
    DOWNLOADS,
    UNTOLD,
    UPLOADS,
    Accepted,
    Progress,
    Result,
    error_of,
    parse,
)
from ..broker.wire import (
    BUDGET_MS_MAX,
    CHUNK_BYTES_MAX,
    WANT,
    Flag,
    Message,
    Payload,
    Type,
)
from ..drivers.errors import (
    DataLossError,
    DeadlineExceededError,
    Executed,
    ProtocolError,
    StorageError,
)
from .requests import (
    LONG_OPERATIONS,
    Accepting,
    Arrived,
    Failed,
    Finished,
    InLane,
    Moved,
    Output,
    Request,
    Sent,
)

MARGIN_S_MAX = 0.1
"""The far side is told a little less time, so that its better answer comes first."""
MARGIN_PART = 0.1


class Stream:
    """What every operation has; also the machine of a call.

    Attributes:
        key: whom to tell.
        request: what was asked.
        broker: index of the broker that has it; None before it is sent.
        id: its id in that session.
        expires: when it has waited too long, on the clock of `now`.
        timed: whether the core's list of timers has it.
    """

    __slots__ = (
        "_done",
        "_patience_s",
        "broker",
        "epoch",
        "expires",
        "id",
        "key",
        "request",
        "timed",
    )

    ends_with = Type.CANCEL
    """What tells the worker that nobody waits any more."""

    def __init__(self, key: Any, request: Request, now: float) -> None:
        self.key = key
        self.request = request
        self.broker: int | None = None
        self.id = 0
        self.epoch = 0
        self.expires = now + request.budget_s
        self.timed = False
        self._patience_s = max(request.budget_s, request.patience_s)
        self._done = 0

    def start(self, broker: int, id_: int, epoch: int, now: float) -> Message:
        """The OPEN; what remains of the time goes along as its budget."""
        self.broker = broker
        self.id = id_
        self.epoch = epoch
        return Message(
            Type.OPEN,
            id_,
            self.request.operation,
            limit=self.request.window,
            budget_ms=_budget_ms(self._told_s(now)),
            epoch=epoch,
            fields=self.request.fields,
            payload=self.request.payload,
        )

    def take(self, message: Message, now: float, out: Output) -> bool:
        """Take a message; True when it was the last.

        Raises:
            ProtocolError: the message is none that this stream may get.
            DataLossError: bytes are missing.
        """
        kind = message.type
        if kind is Type.RESULT:
            result = parse(Result, message.fields)
            self._finish(message, result, out)
            return True
        if kind is Type.ERROR:
            out.events.append((self.key, Failed(self._failure(error_of(message)))))
            return True
        if kind is Type.PROGRESS:
            self._progress(parse(Progress, message.fields), now, out)
            return False
        self._more(message, now, out)
        return False

    def abandon(self) -> Message:
        """What to send when nobody waits for the stream any more."""
        return Message(self.ends_with, self.id, epoch=self.epoch)

    def stall(self, now: float) -> None:
        """The application waits for the other end of the lane: the clock runs."""
        self.expires = min(self.expires, now + self._patience_s)

    def relax(self, now: float) -> None:
        """Nobody waits any more until it is as far as it was: from here on it is given
        the time that is for each step."""

    def move_on(self) -> None:
        """The other end has moved on, and with it the application."""
        self.expires = inf

    def expired(self) -> StorageError:
        """The error of a stream that has waited too long."""
        return self._failure(
            DeadlineExceededError(
                f"{self.request.operation.name.lower()}: no answer within "
                f"{self._patience_s:g} s",
                executed=Executed.MAYBE,
            )
        )

    def lost(self, error: StorageError) -> StorageError:
        """The error of a stream whose session is over: one of its own for each."""
        return self._failure(
            type(error)(
                error.detail,
                temporary=error.temporary,
                executed=Executed.MAYBE if self.broker is not None else Executed.NO,
            )
        )

    def _finish(self, message: Message, result: Result, out: Output) -> None:
        out.events.append((self.key, Finished(result, message.payload)))

    def _more(self, message: Message, now: float, out: Output) -> None:
        raise ProtocolError(f"{message.type.name} for a {self.request.operation.name}")

    def _failure(self, error: StorageError) -> StorageError:
        return error

    def _told_s(self, now: float) -> float:
        """Seconds that the far side is to take it to have."""
        return self.expires - now

    def _progress(self, progress: Progress, now: float, out: Output) -> None:
        """The driver has moved on, if the count has risen: the wait begins anew."""
        if progress.done is None or progress.done <= self._done:
            return
        self._done = progress.done
        if self.request.operation in LONG_OPERATIONS and self.expires != inf:
            self.expires = now + self._patience_s
            out.events.append((self.key, Moved(now)))


class Download(Stream):
    """An operation that sends bytes back: read, list and walk.

    The clock runs only while all that has arrived is consumed: a slow reader is no
    reason to give up. It is not set back before the first bytes that were not there
    before, so that a caller who waits for them does so once.
    """

    __slots__ = ("_by_lane", "inflow")

    def __init__(self, key: Any, request: Request, now: float) -> None:
        super().__init__(key, request, now)
        self.inflow = Inflow(request.window)
        self._by_lane = False

    def consumed(self, count: int, now: float, out: Output) -> None:
        """The application has taken bytes."""
        self.inflow.consume(count)
        if self.inflow.consumed >= self.inflow.received and self.expires == inf:
            self.expires = now + self._patience_s
        self._credit(out)

    def _more(self, message: Message, now: float, out: Output) -> None:
        if message.type is Type.ACCEPT:
            accepted = parse(Accepted, message.fields)
            out.events.append((self.key, Accepting(accepted)))
        elif message.type is Type.DATA:
            if self._arrive(message, out) and self.inflow.received > self.request.mark:
                self.expires = inf
            self._credit(out)
        else:
            super()._more(message, now, out)

    def _told_s(self, now: float) -> float:
        return self._patience_s  # for each of its waits, at the far side too

    def _finish(self, message: Message, result: Result, out: Output) -> None:
        # The offset of the RESULT says how much there was, so that a stream which
        # lost its tail is never taken for a short one.
        if message.offset != self.inflow.received and not self._by_lane:
            raise DataLossError(
                f"the stream ended at {message.offset} with {self.inflow.received} "
                "bytes received"
            )
        payload = message.payload
        if payload and self.inflow.accept(message.offset, len(payload)):
            out.events.append((self.key, Arrived(payload)))
        size = self.inflow.received
        if self._by_lane:
            size = message.offset  # whoever looks into the lane compares
        out.events.append((self.key, Finished(result, b"", size)))

    def _arrive(self, message: Message, out: Output) -> bool:
        want = bool(message.flags & WANT)
        if not self.inflow.accept(message.offset, message.size, want):
            return False
        if message.lane:
            self._by_lane = True
            out.events.append((self.key, InLane(message.offset, message.lane)))
        else:
            out.events.append((self.key, Arrived(message.payload)))
        return True

    def _credit(self, out: Output) -> None:
        if self.inflow.credit_due():
            received, limit = self.inflow.credit()
            credit = Message(
                Type.CREDIT, self.id, offset=received, limit=limit, epoch=self.epoch
            )
            assert self.broker is not None
            out.sends.append((self.broker, credit))


class Upload(Stream):
    """A write: bytes go out within credit, then COMMIT, DETACH or CANCEL.

    The clock runs while the worker owes something: ACCEPT, credit for bytes that
    wait here, or the end. While an upload that goes on elsewhere is not as far as it
    was, nothing sets the clock back.
    """

    __slots__ = (
        "_accepted",
        "_by_lane",
        "_durable",
        "_end_sent",
        "_ending",
        "_mark",
        "_moved_at",
        "_outflow",
        "_pending",
        "_starved",
    )

    ends_with = Type.DETACH

    def __init__(self, key: Any, request: Request, now: float) -> None:
        super().__init__(key, request, now)
        self._outflow = Outflow()
        self._pending: deque[memoryview] = deque()
        self._accepted = False
        self._ending: Type | None = None
        self._end_sent = False
        self._starved = False
        self._by_lane = False
        self._durable = 0
        self._mark = request.mark
        self._moved_at = 0.0

    def write(self, data: Payload, now: float, out: Output) -> None:
        """Queue bytes; the application bounds how many wait here."""
        if self._ending is not None:
            return
        sent = self._outflow.sent
        self._pending.append(memoryview(data))
        self._flush(now, out)
        if self._outflow.sent > sent:
            self._tell(out)

    def write_lane(self, count: int, now: float, out: Output) -> None:
        """The first bytes lie in the lane, within the limit that was told; of what
        follows the worker hears by the lane's bell."""
        if self._ending is not None:
            return
        self._by_lane = True
        self._send_data(out, self._outflow.send(count), lane=count)
        self._flush(now, out)
        self._tell(out)

    def starve(self, now: float, out: Output) -> None:
        """The application has the first bytes for the lane, and no credit for them."""
        self._starved = not self._outflow.room
        self._flush(now, out)
        if not self._starved:
            self._tell(out)

    def move_on(self) -> None:
        if self._mark < 0:
            self.expires = inf

    def relax(self, now: float) -> None:
        self._mark = -1
        self.expires = now + self._patience_s if self._waits() else inf

    def end(
        self, kind: Type, size: int, within_s: float, now: float, out: Output
    ) -> None:
        """End with COMMIT or DETACH when all is sent, or with CANCEL at once.

        Args:
            kind: which.
            size: bytes that were written, here or to the lane.
            within_s: seconds that a CANCEL may take.
            now: the time.
            out: what to do.
        """
        if self._ending is Type.CANCEL:
            return
        self._ending = kind
        if self._by_lane:
            self._outflow.catch_up(size)
        if kind is not Type.CANCEL:
            self._flush(now, out)
            return
        self._end_sent = True
        self._pending.clear()
        assert self.broker is not None
        out.sends.append((self.broker, self._end_message(kind)))
        self._mark = -1
        self.expires = now + within_s

    def abandon(self) -> Message:
        self._pending.clear()
        if self._ending is Type.CANCEL:
            return self._end_message(Type.CANCEL)
        code = 0 if self._accepted else UNTOLD
        return self._end_message(self.ends_with)._replace(code=code)

    def _more(self, message: Message, now: float, out: Output) -> None:
        if message.type is Type.ACCEPT:
            accepted = parse(Accepted, message.fields)
            self._accepted = True
            self._durable = accepted.durable
            if self._mark >= 0:
                self._mark = max(0, self._mark - accepted.size)
            out.events.append((self.key, Accepting(accepted)))
            self._granted(0, message.limit, now, out)
        elif message.type is Type.CREDIT:
            durable = parse(Progress, message.fields).durable
            if durable is not None:
                self._durable = max(self._durable, durable)
            self._granted(message.offset, message.limit, now, out)
        else:
            super()._more(message, now, out)

    def _granted(self, received: int, limit: int, now: float, out: Output) -> None:
        moved = received > self._outflow.received or limit > self._outflow.limit
        self._outflow.credit(received, limit)
        self._starved = self._starved and not self._outflow.room
        if moved and self._mark < 0 and self._ending is not Type.CANCEL:
            self._moved_at = now
            self.expires = inf  # `_flush` starts the clock anew if there is a reason
        self._flush(now, out)
        self._tell(out)

    def _flush(self, now: float, out: Output) -> None:
        if self._accepted:
            while self._pending and self._outflow.room:
                self._send_piece(out)
            if self._ending is not None and not self._pending and not self._end_sent:
                self._end_sent = True
                assert self.broker is not None
                out.sends.append((self.broker, self._end_message(self._ending, now)))
        if 0 <= self._mark < self._outflow.sent:
            self._moved_at = now
            self.relax(now)
        if self._mark >= 0:
            return
        if not self._waits():
            self.expires = inf
        elif self.expires == inf:
            self.expires = now + self._patience_s

    def _tell(self, out: Output) -> None:
        flow = self._outflow
        sent = Sent(flow.sent, flow.limit, self._durable, self._moved_at)
        out.events.append((self.key, sent))

    def _waits(self) -> bool:
        return (
            not self._accepted
            or bool(self._pending)
            or self._starved
            or self._ending is not None
        )

    def _send_piece(self, out: Output) -> None:
        head = self._pending[0]
        count = min(len(head), self._outflow.room, CHUNK_BYTES_MAX)
        piece = head[:count]
        if count == len(head):
            self._pending.popleft()
        else:
            self._pending[0] = head[count:]
        self._send_data(out, self._outflow.send(count), piece)

    def _send_data(
        self, out: Output, offset: int, payload: Payload = b"", lane: int = 0
    ) -> None:
        # When the stream leaves it for the lane, the broker has to be told so.
        flags = Flag.NONE if self._outflow.room and not lane else Flag.WANT
        assert self.broker is not None
        message = Message(
            Type.DATA,
            self.id,
            flags=flags,
            offset=offset,
            epoch=self.epoch,
            payload=payload,
            lane=lane,
        )
        out.sends.append((self.broker, message))

    def _end_message(self, kind: Type, now: float = inf) -> Message:
        message = Message(kind, self.id, offset=self._outflow.sent, epoch=self.epoch)
        if kind is not Type.COMMIT:
            return message
        left_s = min(self._patience_s, self.expires - now)
        return message._replace(budget_ms=_budget_ms(left_s))

    def _told_s(self, now: float) -> float:
        return self._patience_s  # for each of its waits, at the far side too

    def _failure(self, error: StorageError) -> StorageError:
        if error.durable is None and self._accepted:
            error.durable = self._durable
        return error


def _budget_ms(left_s: float) -> int:
    """What the far side is told of the time that is left."""
    left_s -= min(MARGIN_S_MAX, left_s * MARGIN_PART)
    return min(BUDGET_MS_MAX, max(1, int(left_s * 1000)))


def make_stream(key: Any, request: Request, now: float) -> Stream:
    """The machine for an operation."""
    if request.operation in UPLOADS:
        return Upload(key, request, now)
    if request.operation in DOWNLOADS:
        return Download(key, request, now)
    return Stream(key, request, now)
