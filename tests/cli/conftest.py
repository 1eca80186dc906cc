"""The command line, run in this process against a server that answers as the test wants."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from cli.campaign_file.contract_fields import echo
from cli.risk_desk import RiskDesk

from redemption.cli.campaign_file.reading import read_campaign
from redemption.cli.root import run
from redemption.v1 import campaign_pb2 as v1
from redemption.v1.campaign_service_pb2 import (
    GetCampaignResponse,
)

IN_JUNE_2026 = 1_781_000_000


@pytest.fixture(autouse=True)
def _plain_surroundings(monkeypatch):
    """No settings and no language of whoever runs the tests; and no campaign of the tests is over."""
    for module in ("campaigns", "claim", "fraud", "list_runs"):
        monkeypatch.setattr(f"redemption.cli.{module}._now", lambda: IN_JUNE_2026)
    monkeypatch.setattr("redemption.app.forbid_core_dumps", lambda: None)  # the tests' own process could not undo it
    for name in ("REDEMPTION_SERVER", "REDEMPTION_PROGRAM", "REDEMPTION_LANG", "LC_ALL", "LC_MESSAGES", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")


@dataclass
class Ended:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _nobody(monkeypatch):
    """A command that is told no server reaches none, whatever runs on this machine."""
    monkeypatch.setenv("REDEMPTION_SERVER", "127.0.0.1:1")


@pytest.fixture
def command(capfd):
    """Type a command."""

    def type_(*arguments):
        capfd.readouterr()
        code = run([str(each) for each in arguments])
        said = capfd.readouterr()
        return Ended(code, said.out, said.err)

    return type_


@pytest.fixture
def ask(command, fake):
    """Type a command that asks the server."""
    return lambda *arguments: command(*arguments, "--server", fake.address)


@pytest.fixture
def campaign_3(fake):
    """A campaign that the server knows, whatever number is asked for."""
    campaign = v1.Campaign(number=3, name="满200减50", currency_code="CNY", time_zone="Asia/Shanghai")
    fake.answers["GetCampaign"] = GetCampaignResponse(campaign=campaign)


@pytest.fixture
def file(tmp_path):
    """A campaign's file."""
    path = tmp_path / "campaign.yaml"
    path.write_text((Path(__file__).parent / "campaign_file" / "campaign.yaml").read_text())
    return path


@pytest.fixture
def existing(file):
    """The campaign of the file as a server returns it, with what it fills in."""
    campaign = read_campaign(file).campaign
    campaign.program, campaign.number, campaign.etag, campaign.state = "demo", 3, "v7", v1.CAMPAIGN_STATE_ACTIVE
    echo(campaign)
    return campaign


@pytest.fixture
def desk(fake):
    """A program's rules and lists, behind the fake server."""
    return RiskDesk(fake)
