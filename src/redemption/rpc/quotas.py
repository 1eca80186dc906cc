"""Keeps the quotas of principals and programs: which calls are refused, what a call counts, and what its caller learns.

Health checks and reflection are no methods of the contract, so they are never refused.
"""

import asyncio
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, Literal

from google.protobuf.message import Message

from redemption.domain.call_info import CallInfo
from redemption.domain.order import program_violations
from redemption.rpc.quota_log import QuotaLog
from redemption.rpc.status import QuotaExceeded, status_of
from redemption.rpc.transport.methods import Status
from redemption.scheduling.quota import Bucket, Buckets, Quota, QuotaRules
from redemption.v1.issuance_service_pb2 import MintRequest
from redemption.v1.redemption_service_pb2 import BatchRedeemRequest

MINT_COUPONS: Final = 10_000
"""Coupons of a Mint that count as one call. They are made in steps that rest while others are busy, so they weigh less
than their work."""
OPERATORS = ("CampaignService.", "RiskService.", "IssuanceService.Mint", "IssuanceService.Revoke")
"""The calls of those who run campaigns. They have buckets of their own: a campaign can still be paused, and a customer
denied, while the checkouts of its program are over the quota."""
DELAY_STEP_MS = 10
"""Delays are rounded up to this, so that few different refusals have to be written."""
STATUSES_MAX = 256
"""The most refusals that are kept as they are sent."""
_MS: Final = 1_000
_NS_PER_MS: Final = 1_000_000
_WHERE = ("checkout", "campaign", "rules")
"""The fields in which a request has its program, if it has none itself."""

Whose = Literal["principal", "program"]


class Quotas:
    """The quotas of a process."""

    def __init__(
        self, rules: QuotaRules, *, clock: Callable[[], int] = time.monotonic_ns, log: QuotaLog | None = None
    ) -> None:
        """Build it.

        Args:
            rules: The quotas.
            clock: Counts nanoseconds, and never runs backwards.
            log: Where it is told who is refused.
        """
        self._rules = rules
        self._clock = clock
        self._log = log or QuotaLog()
        self._calls, self._operators = self._buckets(), self._buckets()

    def of(self, name: str, request: type[Message]) -> "MethodQuota | None":
        """Return the quotas of a method's calls; None if there are none.

        Args:
            name: The name of the method, such as ``RedemptionService.Redeem``.
            request: The type of its requests.
        """
        principals, programs = self._operators if name.startswith(OPERATORS) else self._calls
        if principals is None and programs is None:
            return None
        return MethodQuota(principals, programs, request, self._clock, self._log)

    def _buckets(self) -> tuple[Buckets | None, Buckets | None]:
        rules = self._rules
        principals = Buckets(rules.principal, rules.principals) if rules.of_principals else None
        programs = Buckets(rules.program, rules.programs) if rules.of_programs else None
        return principals, programs


class MethodQuota:
    """The quotas of the calls of one method."""

    def __init__(
        self,
        principals: Buckets | None,
        programs: Buckets | None,
        request: type[Message],
        clock: Callable[[], int],
        log: QuotaLog,
    ) -> None:
        self._principals = principals
        self._programs = programs
        self._program_of = _program_of(request)
        self._units_of = _units_of(request)
        self._clock = clock
        self._log = log

    def gate(self, info: CallInfo) -> Status | None:
        """Return the refusal of a call whose principal has used up its quota, before the call is parsed; or None.

        Nothing is counted: what the call counts is not known yet.
        """
        if self._principals is None:
            return None
        now_ns = self._clock()
        bucket = self._principals.of(info.principal, now_ns)
        wait_ns = 0 if bucket is None else bucket.wait_ns(now_ns)
        if bucket is None or not wait_ns:
            return None
        return self._refused("principal", info.principal, bucket, wait_ns, info)

    def take(self, info: CallInfo, request: Message) -> Status | None:
        """Count a call, or return its refusal; a refused call is not counted."""
        now_ns = self._clock()
        taken: list[Bucket] = []
        if self._principals is not None:
            bucket = self._principals.of(info.principal, now_ns)
            if bucket is not None:
                wait_ns = bucket.wait_ns(now_ns)
                if wait_ns:
                    return self._refused("principal", info.principal, bucket, wait_ns, info)
                taken.append(bucket)
        if self._programs is not None:
            program = self._program_of(request)
            # A malformed name is refused by the handler, and its call goes no further.
            bucket = None if any(program_violations(program)) else self._programs.of(program, now_ns)
            if bucket is not None:
                wait_ns = bucket.wait_ns(now_ns)
                if wait_ns:
                    return self._refused("program", program, bucket, wait_ns, info)
                taken.append(bucket)
        if taken:
            units = self._units_of(request)
            for each in taken:
                each.take(units, now_ns)
        return None

    def _refused(self, whose: Whose, name: str, bucket: Bucket, wait_ns: int, info: CallInfo) -> Status:
        self._log.refused(whose, name)
        steps = -(-wait_ns // (DELAY_STEP_MS * _NS_PER_MS))
        delay_ms = steps * DELAY_STEP_MS
        left_ms = (info.deadline - asyncio.get_running_loop().time()) * _MS
        return _refusal(whose, name, bucket.quota, delay_ms, in_time=delay_ms < left_ms)


@lru_cache(maxsize=STATUSES_MAX)
def _refusal(whose: Whose, name: str, quota: Quota, delay_ms: int, *, in_time: bool) -> Status:
    """Return the status of a refused call.

    The caller's gRPC library waits for as long as the next call has to wait, and then retries. If its deadline would
    pass meanwhile, it must not: its caller would learn nothing but that.
    """
    error = QuotaExceeded(
        f"{whose} {name} has used up its quota of {quota.per_second:g} calls a second ({quota.burst} at once); nothing "
        f"was done, try again in {delay_ms / _MS:g} s"
    )
    error.retry_after_seconds = delay_ms / _MS
    error.metadata = {"quota": whose, "name": name}
    status = status_of(error)
    return Status(status.code, status.message, status.details, final=not in_time, wait_ms=delay_ms)


def _program_of(request: type[Message]) -> Callable[[Any], str]:
    """Return what reads the program of a request."""
    fields = request.DESCRIPTOR.fields_by_name
    if "program" in fields:
        return lambda message: str(message.program)
    within = next(name for name in _WHERE if name in fields)
    return lambda message: str(getattr(message, within).program)


def _units_of(request: type[Message]) -> Callable[[Any], int]:
    """Return what counts a request: how many calls it stands for, at least 1."""
    if request is BatchRedeemRequest:
        return lambda message: max(1, len(message.requests))
    if request is MintRequest:
        return lambda message: 1 + max(0, message.count - message.skip - 1) // MINT_COUPONS
    return lambda _: 1
