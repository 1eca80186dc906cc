"""What the clients of other languages are told to do, and what they tell of it: JSON, one plan in, one line a step out.

The programs in tools/clients know nothing of coupons: they send bytes that were prepared here, and hand back what they
saw. What is right is judged in ``client_cases``, once for all languages.

A plan::

    target          HOST:PORT
    tls             null, or the PEM files ca, certificate (null: none) and key
    service_config  null, or gRPC's service config as JSON text: how to retry
    steps           what to do, one after the other, on one channel

A step has a ``name``, a ``kind``, and what its kind needs:

========= ==========================================================================================================
unary     ``path``, ``request`` (a file with the message), ``timeout_ms`` (0: ten seconds), ``metadata`` (text by name),
          ``metadata_bin`` (base64 by name), ``gzip``
stream    the same, and ``pause_ms`` after each message, ``cancel_after`` so many messages (0: never)
many      ``path``, ``request`` (a file with messages, each after its length, four bytes, big-endian), ``count`` calls
          with these in turn, ``concurrency`` at a time, ``pause_ms`` after each
restart   the same without a count: goes on while the server is stopped and another one is started. The program writes
          ``{"ask": "restart"}``, and is written a line when that is done
health_check, health_watch
          with the client's own health stub; ``cancel_after`` so many answers
together  ``steps``, all at once
========= ==========================================================================================================

The first line that a program writes is ``{"version": …}``.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped] # no marker

Step = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What a program saw of a step.

    Attributes:
        name: The step's.
        code: The gRPC status.
        message: What came with it; of many calls, the first message that was not of an OK.
        details: The serialized ``google.rpc.Status`` of ``grpc-status-details-bin``.
        reason: The reason of an ErrorInfo, as the client's own types read it; empty where they read none.
        fields: The fields of a BadRequest, read in the same way.
        messages: The answers; of many calls, the answer to each request, empty where there was none.
        health: What a health service said, in turn.
        codes: Of many calls, how often each status was seen.
        steps: Of steps together, what was seen of each.
    """

    name: str
    code: int = 0
    message: str = ""
    details: bytes = b""
    reason: str = ""
    fields: Sequence[str] = ()
    messages: Sequence[bytes] = ()
    health: Sequence[str] = ()
    codes: Mapping[int, int]
    steps: Sequence["Observation"] = ()

    @cached_property
    def reasons(self) -> set[str]:
        """All that it gives as reason: as the client read it, and as it is in the details."""
        found = {info.reason for info in self._details(error_details_pb2.ErrorInfo)}
        return found | {self.reason} if self.reason else found

    @cached_property
    def violated(self) -> set[str]:
        """All fields that are named as wrong, read in both ways."""
        requests = self._details(error_details_pb2.BadRequest)
        return {each.field for request in requests for each in request.field_violations} | set(self.fields)

    def _details(self, kind: Any) -> list[Any]:  # noqa: ANN401 - the messages of google.rpc have no types
        found = []
        for detail in status_pb2.Status.FromString(self.details).details:
            message = kind()
            if detail.Unpack(message):
                found.append(message)
        return found


def observation_of(told: Mapping[str, Any]) -> Observation:
    """Return what a line tells; a program leaves out what it has not seen."""
    return Observation(
        name=told["name"],
        code=told.get("code") or 0,
        message=told.get("message") or "",
        details=base64.b64decode(told.get("details") or ""),
        reason=told.get("reason") or "",
        fields=tuple(told.get("fields") or ()),
        messages=tuple(base64.b64decode(message or "") for message in told.get("messages") or ()),
        health=tuple(told.get("health") or ()),
        codes={int(code): count for code, count in (told.get("codes") or {}).items()},
        steps=tuple(observation_of(step) for step in told.get("steps") or ()),
    )
