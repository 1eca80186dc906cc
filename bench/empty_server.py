"""A server with the same contract and the same gRPC settings, whose handlers do nothing: the upper limit of throughput.

It parses each request and writes an answer of the usual size, so it measures the cost of the transport and protobuf.
"""

import sys

import uvloop
from bare import Handlers, serve

from redemption.v1 import redemption_service_pb2 as messages
from redemption.v1.outcome_pb2 import DISPOSITION_APPROVED, OUTCOME_APPROVED


def answer(items: int) -> messages.RedeemResponse | messages.BatchRedeemResponse:
    """An approval of one coupon and one line, or a batch of them, with the size of a real one."""
    one = messages.RedeemResponse()
    one.decision.outcome = OUTCOME_APPROVED
    one.decision.disposition = DISPOSITION_APPROVED
    one.decision.discount_minor = 50_00
    one.decision.settlement = bytes(100)
    one.decision.decide_time.seconds = 1_800_000_000
    verdict = one.decision.verdicts.add(
        outcome=OUTCOME_APPROVED,
        disposition=DISPOSITION_APPROVED,
        campaign=1,
        redemption_id="x" * 64,
        discount_minor=50_00,
    )
    verdict.allocations.add(line_id="000001.1", amount_minor=50_00)
    if not items:
        return one
    batch = messages.BatchRedeemResponse()
    for _ in range(items):
        batch.results.add(decision=one.decision)
    return batch


async def main() -> None:
    """Serve until it is stopped."""
    single = answer(0)
    batches: dict[int, messages.BatchRedeemResponse] = {}

    async def redeem(_: messages.RedeemRequest) -> messages.RedeemResponse:
        return single

    async def batch_redeem(request: messages.BatchRedeemRequest) -> messages.BatchRedeemResponse:
        size = len(request.requests)
        if size not in batches:
            batches[size] = answer(size)
        return batches[size]

    handlers: Handlers = {
        "Redeem": (messages.RedeemRequest, redeem),
        "BatchRedeem": (messages.BatchRedeemRequest, batch_redeem),
    }
    await serve(handlers, int(sys.argv[1]), *sys.argv[2:])


if __name__ == "__main__":
    uvloop.run(main())
