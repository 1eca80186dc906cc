"""Crashes of the ledger's machine under load: the append-only file is cut back to the last fsync that had ended.

A kill alone tests no fsync, because the system keeps what was written. Run by ``make soak-crashes``; it needs a C
compiler, for the part that is preloaded into Valkey (``synced_size.c``), and Linux.
"""

import asyncio
import os
import random
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest
from builders.keysets import keyset_of
from house import House

from redemption.domain.errors import ServiceError
from redemption.domain.outcome import Outcome
from redemption.server import embedded_valkey as module
from redemption.server.embedded_valkey import EmbeddedValkey

CRASHES = 20
BUYERS = 20
LOST_SECONDS_MAX = 2.0
"""With ``fast``: Valkey begins an fsync every second, and lets it take another second before it stops to write."""
LOAD_SECONDS = (0.2, 1.5)


@pytest.fixture
def noting(monkeypatch, tmp_path):
    """A Valkey that notes how much of each append-only file is on disk."""
    shim, binary = tmp_path / "synced_size.so", module.find_binary()
    source = Path(__file__).with_name("synced_size.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", shim, source, "-ldl"], check=True)
    wrapper = tmp_path / "valkey-server"
    wrapper.write_text(f'#!/bin/sh\nLD_PRELOAD={shlex.quote(str(shim))} exec {shlex.quote(str(binary))} "$@"\n')
    wrapper.chmod(0o700)
    monkeypatch.setattr(module, "find_binary", lambda: wrapper)


async def crash(server):
    """End Valkey, and lose what was not on disk; returns how many bytes were lost."""
    os.kill(server.pid, signal.SIGKILL)
    await server.wait()
    lost = 0
    for path in server.directory.glob("appendonlydir/*.aof"):
        note = path.with_name(path.name + ".synced")
        on_disk = int(note.read_text()) if note.exists() else 0
        lost += max(path.stat().st_size - on_disk, 0)
        os.truncate(path, min(on_disk, path.stat().st_size))
    return lost


class Load:
    """Buyers who redeem one coupon after the other, and what they were told."""

    def __init__(self, shop, tokens):
        self.shop, self.tokens = shop, tokens
        self.told = {}
        self.tasks = [asyncio.create_task(self.buy()) for _ in range(BUYERS)]

    async def buy(self):
        for token in self.tokens:
            try:
                decision = await self.shop.redeem(token, request_id=token, order_id=f"order of {token}")
            except ServiceError:
                return  # the crash
            assert decision.outcome is Outcome.APPROVED
            self.told[token] = time.monotonic()

    async def stop(self):
        for task in self.tasks:
            task.cancel()
        for ended in await asyncio.gather(*self.tasks, return_exceptions=True):
            assert ended is None or isinstance(ended, asyncio.CancelledError), ended


@pytest.mark.parametrize("durability", ["strict", "fast"])
async def test_a_crash_loses_no_more_than_was_promised(noting, tmp_path, durability):
    server = EmbeddedValkey(tmp_path / "data", durability=durability)
    await server.start()
    keyset = keyset_of(environment="development", development=True, now=int(time.time()))
    fence = tmp_path / "fence"
    total = lost_bytes = lost_answers = 0
    for number in range(CRASHES):
        async with House(server.url, fence, program="shop", keyset=keyset, durability=durability) as shop:
            assert shop.ledger.health.failure is None, "a start by itself, with the fence of the run before"
            load = Load(shop, iter(await shop.mint(await shop.campaign(name=f"before crash {number}"), 20_000)))
            await asyncio.sleep(random.uniform(*LOAD_SECONDS))
            if number % 3 == 0:
                await shop.redis.bgrewriteaof()
            await asyncio.sleep(random.uniform(*LOAD_SECONDS))
            crashed_at = time.monotonic()
            lost_bytes += await crash(server)
            await load.stop()
        await server.start()
        async with House(server.url, fence, program="shop", keyset=keyset, durability=durability) as shop:
            assert shop.ledger.health.failure is None, shop.ledger.health.failure
            for token, told_at in load.told.items():
                again = await shop.redeem(token, request_id=f"thief of {token}", order_id=f"another of {token}")
                if again.outcome is Outcome.ALREADY_REDEEMED:
                    continue
                # With its campaign, if that was created just before: then nobody knows the coupon any more.
                assert again.outcome in (Outcome.APPROVED, Outcome.TOKEN_INVALID)
                lost_answers += 1
                assert durability == "fast"
                assert crashed_at - told_at < LOST_SECONDS_MAX
        total += len(load.told)
    await server.stop()
    print(f"\n{durability}: {CRASHES} crashes, {total} answers, {lost_bytes} bytes and {lost_answers} answers lost")
    assert total > 100 * CRASHES
