"""A simple server for comparison, as a team may write it first: one script call for each request.

The comparison is fair. It has the same contract, the same token check, and the same Valkey with fsync before the
answer. Its script is atomic and one round trip; it keeps limits, budget and idempotency. Tokens are checked before the
ledger is called, and answers have signed receipts. It supports one coupon in an order and one campaign that never
changes, and has no events and no batching: each request awaits one ``EVALSHA`` of redis-py's asyncio client.
"""

import sys
import time

import uvloop
from bare import serve
from redis.asyncio import Redis

from redemption.domain.order import checkout_violations
from redemption.domain.signed.keyset import Keyset
from redemption.domain.signed.receipt import Receipt, ReceiptKeys, Receipts
from redemption.domain.signed.token import TokenVerifier, VerifiedToken
from redemption.rpc.convert.orders import redeem_request_from
from redemption.server.keyset_file import read_keyset
from redemption.settings import Settings
from redemption.v1 import redemption_service_pb2 as messages
from redemption.v1.outcome_pb2 import (
    DISPOSITION_APPROVED,
    DISPOSITION_FINAL,
    OUTCOME_ALREADY_REDEEMED,
    OUTCOME_APPROVED,
    OUTCOME_CAMPAIGN_LIMIT,
    OUTCOME_MIN_SPEND_NOT_MET,
    OUTCOME_TOKEN_INVALID,
)

SCRIPT = """
-- KEYS: request, used, customer, campaign. ARGV: discount, limit, limit of a customer, budget.
local answer = redis.call('GET', KEYS[1])
if answer then return answer end
if redis.call('EXISTS', KEYS[2]) == 1 then return 'used' end
local counted = redis.call('HMGET', KEYS[4], 'redeemed', 'discount')
local redeemed, discount = tonumber(counted[1] or 0), tonumber(counted[2] or 0)
if redeemed >= tonumber(ARGV[2]) or discount + tonumber(ARGV[1]) > tonumber(ARGV[4]) then return 'limit' end
if tonumber(redis.call('GET', KEYS[3]) or 0) >= tonumber(ARGV[3]) then return 'limit' end
redis.call('SET', KEYS[2], KEYS[1])
redis.call('INCR', KEYS[3])
redis.call('HINCRBY', KEYS[4], 'redeemed', 1)
redis.call('HINCRBY', KEYS[4], 'discount', ARGV[1])
redis.call('SET', KEYS[1], 'approved', 'EX', 86400)
return 'approved'
"""
THRESHOLD_MINOR, OFF_MINOR = 200_00, 50_00
LIMIT, CUSTOMER_LIMIT, BUDGET_MINOR = 10**9, 5, 10**15
OUTCOMES = {b"used": OUTCOME_ALREADY_REDEEMED, b"limit": OUTCOME_CAMPAIGN_LIMIT}


class Plain:
    """Implements Redeem."""

    def __init__(self, keyset: Keyset, redis: Redis, sha: str) -> None:
        self._verifier = TokenVerifier(keyset)
        self._receipts = Receipts(ReceiptKeys(keyset))
        self._redis = redis
        self._sha = sha

    async def redeem(self, request: messages.RedeemRequest) -> messages.RedeemResponse:
        """Redeem the token of an order."""
        attempt = redeem_request_from(request)
        checkout = attempt.checkout
        if checkout_violations(checkout) or len(checkout.tokens) != 1:
            return _refused(OUTCOME_TOKEN_INVALID)
        token = self._verifier.verify(checkout.tokens[0], program=checkout.program)
        now = int(time.time())
        if not isinstance(token, VerifiedToken) or not token.not_before <= now < token.expires_at:
            return _refused(OUTCOME_TOKEN_INVALID)
        if sum(line.amount_minor for line in checkout.order.lines) < THRESHOLD_MINOR:
            return _refused(OUTCOME_MIN_SPEND_NOT_MET)
        program, campaign = checkout.program, token.campaign
        answer = await self._redis.evalsha(
            self._sha,
            4,
            f"plain:{program}:request:{attempt.request_id}",
            f"plain:{program}:used:{campaign}:{token.serial}",
            f"plain:{program}:customer:{campaign}:{checkout.customer.customer_id}",
            f"plain:{program}:campaign:{campaign}",
            OFF_MINOR,
            LIMIT,
            CUSTOMER_LIMIT,
            BUDGET_MINOR,
        )
        if answer != b"approved":
            return _refused(OUTCOMES[answer])
        receipt = Receipt(key_id=token.key_id, campaign=campaign, serial=token.serial, generation=0, redeemed_at=now)
        response = messages.RedeemResponse()
        decision = response.decision
        decision.outcome, decision.disposition = OUTCOME_APPROVED, DISPOSITION_APPROVED
        decision.discount_minor = OFF_MINOR
        decision.decide_time.seconds = now
        verdict = decision.verdicts.add(
            outcome=OUTCOME_APPROVED,
            disposition=DISPOSITION_APPROVED,
            campaign=campaign,
            redemption_id=self._receipts.sign(receipt, program=program),
            discount_minor=OFF_MINOR,
        )
        verdict.allocations.add(line_id=checkout.order.lines[0].line_id, amount_minor=OFF_MINOR)
        return response


def _refused(outcome: int) -> messages.RedeemResponse:
    response = messages.RedeemResponse()
    response.decision.outcome, response.decision.disposition = outcome, DISPOSITION_FINAL  # type: ignore[assignment]
    return response


async def main() -> None:
    """Serve until it is stopped."""
    port, url, keyset_path = sys.argv[1:]
    keyset = read_keyset(Settings(keyset=keyset_path))
    redis = Redis.from_url(url, protocol=2)
    plain = Plain(keyset, redis, await redis.script_load(SCRIPT))
    await serve({"Redeem": (messages.RedeemRequest, plain.redeem)}, int(port))
    await redis.aclose()


if __name__ == "__main__":
    uvloop.run(main())
