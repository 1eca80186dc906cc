"""The cases that every client runs, and the checks of their results.

A case whose result is not what the service promises is a failure, also if the client is to blame.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from client_coupons import Coupons, RequestFiles, approval_of, in_base64, invalid_redeem, minted
from client_plan import Observation, Step
from google.rpc import code_pb2  # type: ignore[import-untyped] # no marker

from redemption.rpc.request_limits import ORDER_BYTES_MAX, REQUEST_BYTES_MAX

REDEEM: Final = "/redemption.v1.RedemptionService/Redeem"
MINT: Final = "/redemption.v1.IssuanceService/Mint"
GET_REDEMPTION: Final = "/redemption.v1.RedemptionService/GetRedemption"
CHECK: Final = "/grpc.health.v1.Health/Check"
CREATE_CAMPAIGN: Final = "/redemption.v1.CampaignService/CreateCampaign"

MANY: Final = 2_000
AT_A_TIME: Final = 100
NEIGHBOURS: Final = 300
MINTED: Final = 20_000
MINTED_OVER_TLS: Final = 5_000
MINTED_AND_CUT: Final = 100_000
SHORT_DEADLINES: Final = 200
RESTART_CALLS_MIN: Final = 100
STREAM_MS_MAX: Final = 60_000
RESTART_MS_MAX: Final = 30_000
LARGE_HEADER_BYTES: Final = 20_000
LARGE_BYTES: Final = 3_000_000

TOO_MUCH_WORK: Final = "the server has more work than it can do in time; nothing was done, try again"

Seen = Mapping[str, Observation]
Judge = Callable[[Observation, Seen], str]
"""Checks an observation; returns the problem, or an empty text. It can also read all earlier observations."""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that is tried.

    Attributes:
        step: The step for the client; its name says what is tried.
        judge: Checks the result.
        note: Returns a remark for a case that passed.
    """

    step: Step
    judge: Judge
    note: Callable[[Observation], str] = lambda _: ""

    @property
    def name(self) -> str:
        """What is tried."""
        return str(self.step["name"])


def plain_cases(coupons: Coupons, files: RequestFiles) -> list[Case]:
    """Return the cases in plain text, which run one after the other on one channel."""
    redeem, again = coupons.redeems(2), "Redeem: the same request gets the same answer"
    approved = "Redeem: approved"
    same = files.one(redeem[0])
    return [
        Case(_unary(approved, same), _approved),
        Case(_unary(again, same), lambda seen, by: _same(seen, by[approved])),
        Case(_unary("Redeem, gzip: approved", files.one(redeem[1]), gzip=True), _approved),
        Case(
            _unary("Redeem with metadata of bytes (-bin) and text", same, **_metadata()),
            lambda seen, by: _same(seen, by[approved]),
        ),
        Case(_unary("invalid request: ErrorInfo and BadRequest", files.one(invalid_redeem())), _invalid),
        Case(
            _unary("a status message beyond ASCII, with a %", files.one(coupons.same_name()), CREATE_CAMPAIGN),
            lambda seen, _: _message(seen, coupons.name_taken),
        ),
        Case(
            _unary("unknown method: UNIMPLEMENTED", same, "/redemption.v1.RedemptionService/Nothing"),
            _refused(code_pb2.UNIMPLEMENTED, "METHOD_UNKNOWN"),
        ),
        Case(
            _unary("unknown service: UNIMPLEMENTED", same, "/nothing.v1.Nothing/Nothing"),
            _refused(code_pb2.UNIMPLEMENTED, "METHOD_UNKNOWN"),
        ),
        *_deadlines(files, redeem),
        *_health(),
        *_streams(coupons, files),
        *_too_large(files, redeem),
        *_busy(files, coupons.redeems(MANY)),
    ]


def tls_cases(coupons: Coupons, files: RequestFiles) -> list[Case]:
    """Return the cases over TLS."""
    request = files.one(coupons.mint(MINTED_OVER_TLS))
    return [
        Case(_unary("Redeem: approved", files.one(coupons.redeems(1)[0])), _approved),
        Case(
            _stream(f"Mint: {MINTED_OVER_TLS:,} tokens as a stream", request),
            lambda seen, _: _all_minted(seen, MINTED_OVER_TLS),
        ),
        _many(f"{NEIGHBOURS:,} redeems, 10 at a time", files, coupons.redeems(NEIGHBOURS), 10),
    ]


def stranger_cases(files: RequestFiles) -> list[Case]:
    """Return the cases without the client certificate that a server demands."""
    name = "no client certificate: refused"
    return [Case(_unary(name, files.one(invalid_redeem())), lambda seen, _: _code(seen, code_pb2.UNAVAILABLE))]


def restart_cases(coupons: Coupons, files: RequestFiles) -> list[Case]:
    """Return the cases during which the server is stopped and another one is started in its place."""
    calls = {"concurrency": 20, "pause_ms": 5, "timeout_ms": RESTART_MS_MAX}
    redeems = _step("redeems", "restart", path=REDEEM, request=files.several(coupons.redeems(MANY)), **calls)
    watch = _step("health Watch", "health_watch", timeout_ms=RESTART_MS_MAX)
    return [
        Case(_unary("Redeem at the old server: approved", files.one(coupons.redeems(1)[0])), _approved),
        Case(_together("redeems go on while the server is replaced; health Watch is told", redeems, watch), _went_on),
        Case(_unary("Redeem at the new server: approved", files.one(coupons.redeems(1)[0])), _approved),
    ]


def _deadlines(files: RequestFiles, redeem: Sequence[bytes]) -> list[Case]:
    calls = {"request": files.several(redeem), "count": SHORT_DEADLINES, "concurrency": 50, "timeout_ms": 1}
    return [
        Case(
            _step(
                f"{SHORT_DEADLINES} deadlines of 1 ms: DEADLINE_EXCEEDED, never CANCELLED", "many", path=REDEEM, **calls
            ),
            _short_deadlines,
        )
    ]


def _health() -> list[Case]:
    return [
        Case(_step("health Check: SERVING", "health_check"), lambda seen, _: _code(seen, 0) or _health_is(seen)),
        Case(
            _step("health Watch: SERVING, then cancelled by the client", "health_watch", cancel_after=1),
            lambda seen, _: _code(seen, code_pb2.CANCELLED) or _health_is(seen),
        ),
    ]


def _streams(coupons: Coupons, files: RequestFiles) -> list[Case]:
    slow = files.one(coupons.mint(MINTED))
    cut = files.one(coupons.mint(MINTED_AND_CUT))
    cancelled = files.one(coupons.mint(MINTED_AND_CUT))
    return [
        Case(
            _stream(f"Mint: {MINTED:,} tokens as a stream, read slowly", slow, pause_ms=50),
            lambda seen, _: _all_minted(seen, MINTED),
        ),
        Case(
            _together(
                "Mint: a deadline in the middle: DEADLINE_EXCEEDED, never CANCELLED",
                *[_stream("Mint", cut, pause_ms=20) | {"timeout_ms": 300 + 10 * index} for index in range(10)],
            ),
            lambda seen, _: next(filter(None, [_code(each, code_pb2.DEADLINE_EXCEEDED) for each in seen.steps]), ""),
        ),
        Case(
            _stream("Mint: cancelled by the client in the middle", cancelled, cancel_after=3),
            lambda seen, _: _code(seen, code_pb2.CANCELLED),
        ),
    ]


def _busy(files: RequestFiles, requests: Sequence[bytes]) -> list[Case]:
    """Return cases with many calls at a time: a busy server refuses the calls that it cannot do in time."""
    health = {"request": files.several([b""]), "count": MANY, "concurrency": AT_A_TIME}
    redeems = {"request": files.several(requests), "count": MANY}
    first = f"{MANY:,} redeems, {AT_A_TIME} at a time: approved, or refused as too much work"
    return [
        Case(
            _step(f"{MANY:,} health Checks, {AT_A_TIME} at a time", "many", path=CHECK, **health),
            lambda seen, _: _only_ok(seen, MANY),
        ),
        Case(_step(first, "many", path=REDEEM, concurrency=AT_A_TIME, **redeems), _approved_or_refused, _how_many),
        Case(
            _step(
                "the same requests again, 10 at a time: approved as they were",
                "many",
                path=REDEEM,
                **redeems,
                concurrency=10,
            ),
            lambda seen, by: _only_ok(seen, MANY) or _all_approved(seen.messages) or _unchanged(seen, by[first]),
        ),
    ]


def _too_large(files: RequestFiles, redeem: Sequence[bytes]) -> list[Case]:
    refused = _refused(code_pb2.RESOURCE_EXHAUSTED, "TOO_LARGE")

    def large(size: int) -> str:
        return files.one(bytes(size + 1))

    replayed = files.several(redeem)
    neighbours = _step(
        *("other calls", "many"), path=REDEEM, request=replayed, count=NEIGHBOURS, concurrency=10, pause_ms=1
    )

    def both(seen: Observation, _: Seen) -> str:
        large, others = seen.steps
        return refused(large, {}) or _only_ok(others, NEIGHBOURS)

    headers = {"x-large": "h" * LARGE_HEADER_BYTES}
    with_headers = _unary("headers of 20 KB: TOO_LARGE", files.one(redeem[0]), metadata=headers)
    return [
        Case(_unary("GetRedemption above its size: TOO_LARGE", large(REQUEST_BYTES_MAX), GET_REDEMPTION), refused),
        Case(_unary("Redeem above its size: TOO_LARGE", large(ORDER_BYTES_MAX)), refused),
        Case(_unary("Redeem far above its size: TOO_LARGE", large(LARGE_BYTES)), refused),
        # First it is the newest stream of its connection: a client that never opened the stream must not reset it.
        Case(with_headers, refused),
        Case(_unary("Redeem after these headers", files.one(redeem[0])), _approved),
        Case(_together("headers of 20 KB beside other calls, which go on", with_headers, neighbours), both),
    ]


# Steps


def _step(name: str, kind: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - what JSON holds
    return {"name": name, "kind": kind, **more}


def _unary(name: str, request: str, path: str = REDEEM, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return _step(name, "unary", path=path, request=request, **more)


def _stream(name: str, request: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return _step(name, "stream", path=MINT, request=request, timeout_ms=STREAM_MS_MAX, **more)


def _together(name: str, *steps: Step) -> dict[str, Any]:
    return _step(name, "together", steps=list(steps))


def _many(name: str, files: RequestFiles, requests: Sequence[bytes], concurrency: int) -> Case:
    calls = {"request": files.several(requests), "count": len(requests), "concurrency": concurrency}
    step = _step(name, "many", path=REDEEM, **calls)
    return Case(step, lambda seen, _: _only_ok(seen, len(requests)) or _all_approved(seen.messages))


def _metadata() -> dict[str, Any]:
    return {"metadata": {"x-caller": "checkout"}, "metadata_bin": {"x-trace-bin": in_base64(bytes(range(256)))}}


# Judges: each returns the problem, or an empty text


def _code(seen: Observation, code: int) -> str:
    if seen.code == code:
        return ""
    return f"{_name(seen.code)} instead of {_name(code)}: {seen.message}"


def _approved(seen: Observation, _: Seen) -> str:
    return _code(seen, 0) or _all_approved(seen.messages)


def _all_approved(answers: Sequence[bytes]) -> str:
    redemptions = [approval_of(answer) for answer in answers]
    if not all(redemptions):
        return f"{redemptions.count('')} of {len(answers)} were not approved"
    if len(set(redemptions)) != len(redemptions):
        return "two orders have one redemption"
    return ""


def _same(seen: Observation, before: Observation) -> str:
    return _code(seen, 0) or ("" if seen.messages == before.messages else "it is another answer")


def _message(seen: Observation, message: str) -> str:
    problem = _code(seen, code_pb2.ALREADY_EXISTS)
    return problem or ("" if seen.message == message else f"the message came as {seen.message!r}")


def _invalid(seen: Observation, _: Seen) -> str:
    wanted, field = {"INVALID_REQUEST"}, "checkout.order.lines"
    problem = _code(seen, code_pb2.INVALID_ARGUMENT)
    if not problem and seen.reasons != wanted:
        problem = f"the reason is {seen.reasons}"
    if not problem and field not in seen.violated:
        problem = f"the fields are {seen.violated}"
    return problem


def _refused(code: int, reason: str) -> Judge:
    def judge(seen: Observation, _: Seen) -> str:
        return _code(seen, code) or ("" if seen.reasons == {reason} else f"the reason is {seen.reasons}")

    return judge


def _short_deadlines(seen: Observation, _: Seen) -> str:
    late = seen.codes.get(code_pb2.DEADLINE_EXCEEDED, 0)
    if sum(seen.codes.values()) != SHORT_DEADLINES or set(seen.codes) - {0, code_pb2.DEADLINE_EXCEEDED}:
        return f"{_counted(seen)}: {seen.message}"
    return "" if late else "every call was quicker than its deadline"


def _only_ok(seen: Observation, count: int) -> str:
    return "" if seen.codes == {0: count} and not seen.message else f"{_counted(seen)}: {seen.message}"


def _approved_or_refused(seen: Observation, _: Seen) -> str:
    others = set(seen.codes) - {0, code_pb2.RESOURCE_EXHAUSTED}
    if sum(seen.codes.values()) != MANY or others or (seen.message and TOO_MUCH_WORK not in seen.message):
        return f"{_counted(seen)}: {seen.message}"
    return _all_approved([answer for answer in seen.messages if answer])


def _how_many(seen: Observation) -> str:
    refused = seen.codes.get(code_pb2.RESOURCE_EXHAUSTED, 0)
    return f"{refused:,} refused" if refused else ""


def _unchanged(seen: Observation, before: Observation) -> str:
    pairs = zip(before.messages, seen.messages, strict=True)
    changed = sum(bool(old) and old != new for old, new in pairs)
    return f"{changed} have another answer than before" if changed else ""


def _health_is(seen: Observation) -> str:
    return "" if seen.health == ("SERVING",) else f"it is {', '.join(seen.health)}"


def _all_minted(seen: Observation, count: int) -> str:
    tokens = minted(seen.messages)
    return _code(seen, 0) or ("" if len(tokens) == count else f"{len(tokens):,} different tokens came")


def _went_on(seen: Observation, _: Seen) -> str:
    calls, watch = seen.steps
    count = sum(calls.codes.values())
    problem = _only_ok(calls, count)
    if not problem and count < RESTART_CALLS_MIN:
        problem = f"only {count} calls were made"
    return problem or _all_approved([answer for answer in calls.messages if answer]) or _watch_ended(watch)


def _watch_ended(seen: Observation) -> str:
    problem = _code(seen, code_pb2.UNAVAILABLE)
    return problem or ("" if seen.health == ("SERVING", "NOT_SERVING") else f"it was told {', '.join(seen.health)}")


def _name(code: int) -> str:
    return str(code_pb2.Code.Name(code))


def _counted(seen: Observation) -> str:
    return ", ".join(f"{count:,} {_name(code)}" for code, count in sorted(seen.codes.items())) or "no call ended"
