"""``ledger``: whether it is trusted, and consent before it is adopted."""

import io
import json

import pytest

from redemption import app
from redemption.server.startup import StartRefused


@pytest.fixture
def adopted(monkeypatch):
    """What was adopted; nothing is touched."""
    found = []

    def adopt(_settings, program):
        found.append(program)
        return {"program": program, "epoch": "e1"}

    monkeypatch.setattr(app, "ledger_adopt", adopt)
    return found


def test_a_trusted_ledger_is_shown(command, monkeypatch):
    rows = [{"program": "demo", "seq": "12", "remembered_seq": "12", "trusted": "yes"}]
    monkeypatch.setattr(app, "ledger_status", lambda _settings: rows)
    ended = command("ledger", "status")
    assert (ended.code, ended.out) == (
        0,
        "program          demo\nseq              12\nremembered seq   12\ntrusted          yes\n",
    )
    assert json.loads(command("ledger", "status", "--json").out) == [
        {"program": "demo", "seq": 12, "remembered_seq": 12, "trusted": "yes"}
    ]


def test_a_ledger_that_is_not_trusted_has_its_own_exit_code(command, monkeypatch):
    rows = [{"program": "demo", "trusted": "it forgot 3 calls"}]
    monkeypatch.setattr(app, "ledger_status", lambda _settings: rows)
    ended = command("ledger", "status", "--json")
    assert (ended.code, json.loads(ended.out)) == (5, rows)


@pytest.fixture
def upgraded(monkeypatch):
    """What an upgrade finds, and for which programs it was asked; nothing is touched."""
    rows, asked = [], []

    def upgrade(_settings, program):
        asked.append(program)
        return rows

    monkeypatch.setattr(app, "ledger_upgrade", upgrade)
    return rows, asked


def test_an_upgrade_says_what_it_made_of_every_program(command, upgraded):
    rows, asked = upgraded
    rows += [
        {"program": "demo", "was": "2", "format": "3", "trusted": "yes"},
        {"program": "shop", "was": "3", "format": "3", "trusted": "yes"},
        {"program": "old", "was": "2", "format": "2", "trusted": "it stands at call 3"},
    ]
    ended = command("ledger", "upgrade")
    told = (
        "the ledger of program demo has format 3 now; it had format 2\n"
        "the ledger of program shop has format 3 already\n"
        "the ledger of program old is refused: it stands at call 3\n"
    )
    assert (ended.code, ended.out, asked) == (5, told, [None])
    assert json.loads(command("ledger", "upgrade", "--json").out) == rows


def test_an_upgrade_of_one_program_is_of_that_one(command, upgraded):
    ended = command("ledger", "upgrade", "--program", "shop")
    told = "there is no ledger of program shop here: nothing to upgrade\n"
    assert (ended.code, ended.out, upgraded[1]) == (0, told, ["shop"])


def test_an_upgrade_that_is_refused_has_the_exit_code_of_its_cause(command, monkeypatch):
    def refuse(_settings, _program):
        raise StartRefused("the ledger is not the one that this server knows", 5)

    monkeypatch.setattr(app, "ledger_upgrade", refuse)
    ended = command("ledger", "upgrade")
    assert (ended.code, ended.err) == (5, "redemption: the ledger is not the one that this server knows\n")


def test_a_clock_is_set_back_for_the_program_that_is_named(command, monkeypatch):
    monkeypatch.setattr(app, "ledger_reset_clock", lambda _settings, program: {"program": program, "clock_ms": "17"})
    ended = command("ledger", "reset-clock", "--program", "shop", "--yes")
    told = "the ledger of program shop goes by the present time\nprogram    shop\nclock ms   17\n"
    assert (ended.code, ended.out) == (0, told)
    assert json.loads(command("ledger", "reset-clock", "--yes", "--json").out) == {"program": "demo", "clock_ms": 17}


def test_setting_a_clock_back_needs_consent(command, monkeypatch):
    monkeypatch.setattr(app, "ledger_reset_clock", lambda *_: pytest.fail("nobody agreed"))
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    ended = command("ledger", "reset-clock")
    assert ended.code == 2
    assert "needs a person's consent" in ended.err
    answer = io.StringIO("n\n")
    answer.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", answer)
    ended = command("ledger", "reset-clock")
    assert (ended.code, ended.err) == (1, "redemption: nothing was done\n")
    assert "limits and budgets of a day begin anew" in ended.out


def test_adopting_needs_consent(command, adopted, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    ended = command("ledger", "adopt")
    told = "adopting a ledger needs a person's consent: run it in a terminal, or give --yes"
    assert (ended.code, ended.err, adopted) == (2, f"redemption: {told}\n", [])


def test_a_person_may_say_no(command, adopted, monkeypatch):
    answer = io.StringIO("n\n")
    answer.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", answer)
    ended = command("ledger", "adopt")
    assert (ended.code, ended.err, adopted) == (1, "redemption: nothing was done\n", [])


def test_consent_can_be_given_in_advance(command, adopted):
    ended = command("ledger", "adopt", "--program", "shop", "--yes")
    assert (ended.code, adopted) == (0, ["shop"])
    assert ended.out.startswith("adopted: from now on this machine trusts the ledger of program shop as it is\n")


def test_a_refusal_to_open_the_ledger_is_one_line(command, tmp_path):
    ended = command("ledger", "status", "--keyset", tmp_path / "none", "--data-dir", tmp_path)
    assert ended.code == 4
    assert ended.err.startswith("redemption: there is no keyset at ")
    assert ended.err.count("\n") == 1
