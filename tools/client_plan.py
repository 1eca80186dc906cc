"""The protocol with clients of other languages, in JSON: they read one plan, and write one line for each step.

The programs in tools/clients know nothing about coupons: they send bytes that were prepared here, and report what they
saw. ``client_cases`` checks it, once for all languages.

A plan::

    target          HOST:PORT
    tls             null, or the PEM files ca, certificate (null: none) and key
    service_config  null, or gRPC's service config as JSON text: how to retry
    steps           what to do, one after the other, on one channel

A step has a ``name``, a ``kind``, and what its kind needs:

========= ==========================================================================================================
unary     ``path``, ``request`` (a file with the message), ``timeout_ms`` (0: ten seconds), ``metadata`` (text by name),
          ``metadata_bin`` (base64 by name), ``gzip``
stream    the same, and ``pause_ms`` after each message, ``cancel_after`` that number of messages (0: never)
many      ``path``, ``request`` (a file with messages, each after its length, four bytes, big-endian), ``count`` calls
          with these in turn, ``concurrency`` at a time, ``pause_ms`` after each
restart   the same without a count: goes on while the server is stopped and another one is started. The program writes
          ``{"ask": "restart"}``, and reads a line when that is done
health_check, health_watch
          with the client's own health stub; ``cancel_after`` that number of answers
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
    """What a program saw in a step.

    Attributes:
        name: The step's name.
        code: The gRPC status.
        message: The status message; of many calls, the first one that came with a status other than OK.
        details: The serialized ``google.rpc.Status`` of ``grpc-status-details-bin``.
        reason: The reason of an ErrorInfo, as the client's own types read it; empty if they read none.
        fields: The fields of a BadRequest, read in the same way.
        messages: The answers; of many calls, the answer to each request, empty if there was none.
        health: The answers of the health service, in their order.
        codes: Of many calls, how often each status came.
        steps: Of steps together, the observation of each.
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
        """The reasons: as the client read it, and as it is in the details."""
        found = {info.reason for info in self._details(error_details_pb2.ErrorInfo)}
        return found | {self.reason} if self.reason else found

    @cached_property
    def violated(self) -> set[str]:
        """The wrong fields: as the client read them, and as they are in the details."""
        requests = self._details(error_details_pb2.BadRequest)
        return {each.field for request in requests for each in request.field_violations} | set(self.fields)

    def _details(self, kind: Any) -> list[Any]:  # noqa: ANN401 - the messages of google.rpc have no types
        found = []
        for detail in status_pb2.Status.FromString(self.details).details:
            message = kind()
            if detail.Unpack(message):
                found.append(message)
        return found


def observation_of(line: Mapping[str, Any]) -> Observation:
    """Return the observation in a line; a program leaves out fields that it has not seen."""
    return Observation(
        name=line["name"],
        code=line.get("code") or 0,
        message=line.get("message") or "",
        details=base64.b64decode(line.get("details") or ""),
        reason=line.get("reason") or "",
        fields=tuple(line.get("fields") or ()),
        messages=tuple(base64.b64decode(message or "") for message in line.get("messages") or ()),
        health=tuple(line.get("health") or ()),
        codes={int(code): count for code, count in (line.get("codes") or {}).items()},
        steps=tuple(observation_of(step) for step in line.get("steps") or ()),
    )
