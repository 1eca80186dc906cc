"""The package without extras is the client: it works without the packages of the server, and the command says so."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from waiting import SECONDS_MAX

from redemption.client import RedeemResponse

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

WITHOUT = """\
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""
REDEEM = """\
import asyncio
from redemption.client import *

with connect(ADDRESS) as channel:
    print(RedemptionClient(channel).redeem(RedeemRequest()).decision.discount_minor)

async def redeem():
    async with connect_aio(ADDRESS) as channel:
        return await AsyncRedemptionClient(channel).redeem(RedeemRequest())

decision = asyncio.run(redeem()).decision
print(format_money(decision.discount_minor, "CNY"), sentence(TokenVerdict(), currency_code="CNY", lang="zh"))
try:
    RedemptionClient(connect("127.0.0.1:1")).redeem(RedeemRequest(), timeout=0.01)
except TryAgain as error:
    print(type(error).__name__)
"""


def normal(name):
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", name)[0]).lower()


def installed_with(requirements):
    """The packages that these requirements bring, with all that they require themselves."""
    found = {normal(each) for each in requirements}
    waiting = list(found)
    while waiting:
        try:
            more = {normal(each) for each in requires(waiting.pop()) or () if "extra ==" not in each}
        except PackageNotFoundError:  # not for this machine
            continue
        waiting += more - found
        found |= more
    return found


CLIENT = installed_with(PROJECT["dependencies"])
MISSING = sorted(
    module
    for module, distributions in packages_distributions().items()
    if not {normal(each) for each in distributions} & (CLIENT | {"redemption"})
)


def run(program, *arguments):
    program = f"MISSING = {MISSING!r}\n{WITHOUT}{program}"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False, timeout=SECONDS_MAX
    )


def test_the_client_needs_no_package_of_the_server(fake):
    """Every package is hidden that the requirements of the client do not bring."""
    assert {"redis", "ngh2", "typer", "pydantic", "cryptography", "uvloop", "yaml"} <= set(MISSING)
    fake.answers["Redeem"] = RedeemResponse(decision={"discount_minor": 5000})
    ended = run(REDEEM.replace("ADDRESS", repr(fake.address)))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[0] == "5000"
    assert ended.stdout.splitlines()[1].startswith("¥50.00 ")
    assert ended.stdout.splitlines()[2] == "TryAgain"


@pytest.mark.parametrize("arguments", [(), ("serve",), ("redeem", "--help")], ids=str)
def test_the_command_names_the_extra_that_is_missing_in_one_line(arguments):
    ended = run("from redemption.cli import main; main()", *arguments)
    assert (ended.returncode, ended.stdout) == (4, "")
    assert ended.stderr == (
        "redemption: the package typer is missing; this is the client alone. "
        "For the command line and the server: pip install 'redemption[server]'\n"
    )


def test_no_requirement_is_told_twice():
    """What the client requires, the server has anyway."""
    server = {normal(each) for each in PROJECT["optional-dependencies"]["server"]}
    assert not server & {normal(each) for each in PROJECT["dependencies"]}
