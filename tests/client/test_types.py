"""What the mypy of a user sees, who has no type stubs of gRPC and protobuf installed."""

import re
import subprocess
import sys

from waiting import SECONDS_MAX

PROGRAM = """\
from contextlib import aclosing, closing

from redemption.client import AsyncRedemptionClient, CallFailed, MintRequest, RedeemRequest, RedemptionClient


def blocking(client: RedemptionClient) -> None:
    reveal_type(client.redeem(RedeemRequest(), timeout=1))
    with closing(client.mint(MintRequest())) as parts:
        for part in parts:
            reveal_type(part)


async def with_asyncio(client: AsyncRedemptionClient) -> None:
    reveal_type(await client.redeem(RedeemRequest(), timeout=1))
    async with aclosing(client.mint(MintRequest())) as parts:
        async for part in parts:
            reveal_type(part)


def failed(error: CallFailed) -> None:
    reveal_type(error.reason)
    reveal_type(error.field)
    reveal_type(error.retry_after_seconds)


def wrong(client: RedemptionClient) -> None:
    client.redeem(MintRequest())
"""
SETTINGS = """\
[mypy]
strict = True
[mypy-grpc.*,google.*,grpc_status.*]
follow_imports = skip
ignore_missing_imports = True
"""


def test_requests_answers_and_errors_have_types(tmp_path):
    (tmp_path / "checkout.py").write_text(PROGRAM)
    (tmp_path / "mypy.ini").write_text(SETTINGS)
    found = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", tmp_path / "cache", "checkout.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS_MAX,
    ).stdout
    revealed = [name.rpartition(".")[2] for name in re.findall(r'Revealed type is "(.*)"', found)]
    assert revealed == [
        "RedeemResponse",
        "MintResponse",
        "RedeemResponse",
        "MintResponse",
        "str",
        "str",
        "float | None",
    ]
    (mistake,) = re.findall(r"error: (.*)", found)
    assert 'incompatible type "MintRequest"; expected "RedeemRequest"' in mistake
