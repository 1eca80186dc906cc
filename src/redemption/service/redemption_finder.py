"""Looks up redemptions by request id or by receipt, for example after a lost answer."""

from redemption.domain.call_info import CallInfo
from redemption.domain.errors import NotFound
from redemption.domain.ports.ledger import Ledger
from redemption.domain.ports.orders import Remembered
from redemption.domain.signed.digest import Digests
from redemption.service.decisions import DecisionWriter, Redeemed
from redemption.service.idempotency import request_digest


class RedemptionFinder:
    """Finds redemptions of all programs."""

    def __init__(self, *, digests: Digests, decisions: DecisionWriter, ledger: Ledger) -> None:
        self._digests = digests
        self._decisions = decisions
        self._orders = ledger.orders

    async def by_request(self, caller: CallInfo, program: str, request_id: str) -> list[Redeemed]:
        """Return what was approved under a request id; of a reservation, what has become of it.

        Raises:
            NotFound: Nothing was approved, or it is no longer remembered.
        """
        request = request_digest(self._digests.for_program(program), caller, request_id)
        remembered = await self._orders.remembered(program, request)
        if remembered is None or not remembered.answer:
            raise NotFound("nothing was approved under this request id in the last 24 hours")
        if remembered.held_until:
            return await self._reserved(program, remembered)
        seen = [await self._orders.coupon(program, token.campaign, token.serial) for token in remembered.answer]
        return self._decisions.redeemed(program, remembered, seen)

    async def _reserved(self, program: str, remembered: Remembered) -> list[Redeemed]:
        """Return what has become of the coupons of a reservation: its order holds them still, or has used them.

        Raises:
            NotFound: It has none of them any more, and gave none back.
        """
        found = []
        for token in remembered.answer:
            seen = await self._orders.coupon(program, token.campaign, token.serial)
            use = seen.now.use or seen.last_use
            if seen.last_order != remembered.order:
                continue
            if use is not None:
                found.append(self._decisions.redeemed_by(program, token, use, seen))
            else:
                found.append(self._decisions.held(token, remembered.decided_at))
        if not found:
            raise NotFound("the reservation of this request id was released, replaced, or ran out")
        return found

    async def by_receipt(self, caller: CallInfo, program: str, redemption_id: str) -> Redeemed:
        """Return the redemption of a receipt.

        Raises:
            NotFound: It is not a receipt of this program, or of an archived campaign.
        """
        receipt = self._decisions.read_receipt(redemption_id, program=program)
        if receipt is not None:
            seen = await self._orders.coupon(program, receipt.campaign, receipt.serial)
            of_receipt = (receipt.generation, receipt.redeemed_at)
            for use in (seen.now.use, seen.last_use):
                if use and (use.generation, use.redeemed_at) == of_receipt:
                    return self._decisions.redeemed_by(program, receipt, use, seen)
            if seen.generation > receipt.generation:
                return Redeemed(redemption_id, receipt, 0, is_reversed=True)
        raise NotFound("redemption_id: is not the receipt of a redemption of this program")
