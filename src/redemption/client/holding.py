"""Holds coupons while an order is paid, as one block: what was not confirmed at its end is released.

::

    with holding(client, ReserveRequest(request_id=new_request_id(), checkout=checkout)) as held:
        if held.approved:
            pay(total_minor - held.decision.discount_minor)  # an error of it releases the coupons
            receipts = [verdict.redemption_id for verdict in held.confirm().verdicts]

A ``Confirm`` that was sent and not answered is never followed by a ``Release``: it may have used the coupons. Keep
``held.confirm_request`` with the order before you confirm. Then the same confirmation can be sent again later, also by
another process. A hold that nobody confirms ends by itself.
"""

import logging
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

from redemption.client.channel import new_request_id
from redemption.client.errors import CallFailed
from redemption.client.stub import AsyncRedemptionClient, RedemptionClient
from redemption.v1.decision_pb2 import Decision
from redemption.v1.outcome_pb2 import DISPOSITION_APPROVED
from redemption.v1.redemption_service_pb2 import ConfirmRequest, ReleaseRequest, ReserveRequest, ReserveResponse

_log = logging.getLogger(__name__)


class _HoldState:
    """What an order holds, and whether it is to be released.

    Attributes:
        response: The answer to Reserve.
        confirm_request: The confirmation, with its request id.
    """

    def __init__(self, request: ReserveRequest, response: ReserveResponse) -> None:
        self.response = response
        self._program = request.checkout.program
        self.confirm_request = ConfirmRequest(
            program=self._program, request_id=new_request_id(), reservation_id=response.reservation_id
        )
        self._must_release = self.approved

    @property
    def decision(self) -> Decision:
        """The decision: discount, allocations and settlement, or why nothing is held."""
        return self.response.decision

    @property
    def approved(self) -> bool:
        """Whether the coupons are held."""
        return self.decision.disposition == DISPOSITION_APPROVED

    def _begin_confirming(self) -> ConfirmRequest:
        if not self.approved:
            raise ValueError("nothing is held, so there is nothing to confirm; see decision")
        self._must_release = False
        return self.confirm_request

    def _answered(self, decision: Decision) -> Decision:
        self._must_release = decision.disposition != DISPOSITION_APPROVED
        return decision

    @property
    def release_request(self) -> ReleaseRequest | None:
        """What releases the coupons; None when there are none, or when they may be used."""
        if not self._must_release:
            return None
        reservation_id = self.response.reservation_id
        return ReleaseRequest(program=self._program, request_id=new_request_id(), reservation_id=reservation_id)


class Held(_HoldState):
    """What an order holds."""

    def __init__(self, client: RedemptionClient, request: ReserveRequest, response: ReserveResponse) -> None:
        super().__init__(request, response)
        self._client = client

    def confirm(self, *, timeout: float | None = None) -> Decision:
        """Use the coupons; after an error, the same call sends the same request again.

        Args:
            timeout: The deadline in seconds, retries included; None means the channel's.

        Raises:
            CallFailed: There was no answer. The coupons may be used, so they are not released.
            ValueError: Nothing is held.
        """
        return self._answered(self._client.confirm(self._begin_confirming(), timeout=timeout).decision)


class AsyncHeld(_HoldState):
    """The same with asyncio."""

    def __init__(self, client: AsyncRedemptionClient, request: ReserveRequest, response: ReserveResponse) -> None:
        super().__init__(request, response)
        self._client = client

    async def confirm(self, *, timeout: float | None = None) -> Decision:  # noqa: ASYNC109 - as AsyncCall
        """Use the coupons, see ``Held.confirm``. A task that is cancelled meanwhile does not release them either."""
        response = await self._client.confirm(self._begin_confirming(), timeout=timeout)
        return self._answered(response.decision)


@contextmanager
def holding(client: RedemptionClient, request: ReserveRequest) -> Generator[Held, None, None]:
    """Hold the coupons of an order for a block; at its end, release them unless they were confirmed.

    Args:
        client: The client.
        request: The reservation. Keep its request id: after a ``TryAgain`` the same request is safe.

    Raises:
        CallFailed: Reserve was not answered. What it may hold ends by itself.
    """
    held = Held(client, request, client.reserve(request))
    try:
        yield held
    finally:
        release = held.release_request
        if release is not None:
            try:
                client.release(release)
            except CallFailed as error:  # an error of the block is not hidden by this one
                _not_released(error)


@asynccontextmanager
async def holding_aio(client: AsyncRedemptionClient, request: ReserveRequest) -> AsyncGenerator[AsyncHeld, None]:
    """Hold the coupons of an order for a block, with asyncio, see ``holding``."""
    held = AsyncHeld(client, request, await client.reserve(request))
    try:
        yield held
    finally:
        release = held.release_request
        if release is not None:
            try:
                await client.release(release)
            except CallFailed as error:
                _not_released(error)


def _not_released(error: CallFailed) -> None:
    _log.warning("coupons were not released; their hold ends by itself: %s", error)
