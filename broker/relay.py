"""What the broker changes in a stream's messages as they pass: credit, no more.

Pure. Downloads have their receiver at the client, uploads at the worker; in both
directions the sender is held to what it was told (`Budget.forward`), and the receiver's
grants are passed on within the budget (`Budget.grant`).
"""

from __future__ import annotations

from ..drivers.errors import ProtocolError
from .budget import Budget, Flow
from .sessions import Stream
from .wire import Message, Type


def to_worker(budget: Budget, stream: Stream, message: Message) -> bool:
    """Whether DATA, COMMIT or DETACH of a client goes on: duplicates do not.

    Raises:
        ProtocolError: the client may not send it.
    """
    if message.type is Type.DETACH and not stream.upload:
        return True
    if not stream.upload or stream.flow is None:
        raise ProtocolError(f"{message.type.name} on a stream that is no upload")
    if message.type is Type.DATA:
        return _forward(budget, stream.flow, message)
    return True


def download_flow(stream: Stream, message: Message) -> Flow:
    """The flow that a client's CREDIT is about.

    Raises:
        ProtocolError: the client receives nothing in this stream.
    """
    if stream.upload or stream.flow is None:
        raise ProtocolError("CREDIT on a stream that is no download")
    return stream.flow


def to_client(budget: Budget, stream: Stream, message: Message) -> Message | None:
    """A worker's message as its client gets it; None for a duplicate.

    Raises:
        ProtocolError: the worker sends what it may not.
    """
    flow = stream.flow
    kind = message.type
    if kind is Type.DATA or (kind is Type.RESULT and message.payload):
        if flow is None or stream.upload:
            raise ProtocolError(f"{kind.name} with bytes on a stream that returns none")
        if not _forward(budget, flow, message):
            if kind is Type.RESULT:
                raise ProtocolError("RESULT with bytes that were sent before")
            return None
    elif kind is Type.ACCEPT or kind is Type.CREDIT:
        if stream.upload and flow is not None:
            # Told even when nothing was raised: it also reports what has arrived.
            budget.grant(flow, message.offset, message.limit)
            return message._replace(limit=flow.passed)
        if kind is Type.CREDIT:
            raise ProtocolError("CREDIT on a stream that is no upload")
        if flow is None:
            raise ProtocolError("ACCEPT of a call")
    return message


def _forward(budget: Budget, flow: Flow, message: Message) -> bool:
    by_lane = message.lane > 0
    return budget.forward(flow, message.offset, message.size, by_lane=by_lane)
