"""Every command refuses an option without a value, and names itself when its arguments are wrong."""

import pytest
import typer

from redemption.cli.root import app
from redemption.v1.issuance_service_pb2 import RevokeResponse
from redemption.v1.outcome_pb2 import OUTCOME_APPROVED


def commands(group, *path):
    """Every command, after the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *path, name)
        else:
            yield (*path, name), command


def options_with_a_value():
    """Every option that has to have a value, after the command that is complete without it."""
    for path, command in commands(typer.main.get_command(app)):
        for option in command.params:
            if option.param_type_name == "option" and not option.is_flag and option.default != "":
                others = [each for each in command.params if each.required and each is not option]
                needed = [f"{each.opts[0]}=1" if each.param_type_name == "option" else "1" for each in others]
                yield pytest.param([*path, *needed], option.opts[0], id=" ".join((*path, option.opts[0])))


@pytest.mark.parametrize("value", ["", " "])
@pytest.mark.parametrize(("complete", "option"), [*options_with_a_value()])
def test_an_option_without_its_value_is_refused_by_name(command, complete, option, value):
    """A script with an empty variable must not get a coupon for everybody, nor another request id."""
    ended = command(*complete, f"{option}={value}")
    assert (ended.code, ended.out) == (2, "")
    assert option in ended.err
    assert "traceback" not in ended.err.lower()


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["redeem", "", "--order", "1", "--spend", "1"], "redemption redeem: TOKEN is empty; give it a value"),
        (["redeem", "A", " ", "--order", "1", "--spend", "1"], "redemption redeem: TOKEN is empty; give it a value"),
        (["campaigns", "end", ""], "redemption campaigns end: CAMPAIGN is empty; give it a value"),
        (["campaigns", "apply", ""], "redemption campaigns apply: FILE is empty; give it a value"),
    ],
)
def test_an_argument_that_is_empty_is_refused_by_name(ask, fake, typed, told):
    """Else a script with an empty variable would read that its coupon was refused."""
    ended = ask(*typed)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(told)
    assert not fake.asked


@pytest.mark.parametrize(
    ("typed", "cure"),
    [
        ("mint --campaign 3 --count 1 --customer=", "leave the option out for the default: anyone can use them"),
        ("mint --campaign 3 --count 1 --request-id=", "leave the option out for the default: a new one"),
        ("mint --count 1 --campaign=", "give it a value"),
        ("redeem T --order 1 --spend 1 --customer=", "leave the option out for the default: a guest"),
        ("quote T --order 1 --spend 1 --customer=", "leave the option out for the default: a guest"),
        ("claim --campaign 3 --customer=", "give it a value, or leave the option out"),
        ("claim --campaign 3 --customer ann --segment gold --segment=", "give it a value, or leave the option out"),
        ("campaigns pause 3 --sku=", "give it a value, or leave the option out"),
        ("campaigns list --program=", "leave the option out for the default: REDEMPTION_PROGRAM, else demo"),
    ],
)
def test_what_is_meant_by_leaving_it_out_is_said(ask, fake, typed, cure):
    """The end of the option's help says it, so nothing is said twice."""
    ended = ask(*typed.split())
    *words, option = typed.removesuffix("=").split()
    name = " ".join(words[:2]) if words[0] == "campaigns" else words[0]
    told = f"redemption {name}: {option} is empty; {cure}; see redemption {name} --help\n"
    assert (ended.code, ended.out, ended.err) == (2, "", told)
    assert not fake.asked


def test_an_option_that_is_empty_by_default_may_be_empty(ask, fake):
    """Coupons that leaked are not kept in use because a script had no reason for the record."""
    fake.answers["Revoke"] = RevokeResponse(outcome=OUTCOME_APPROVED)
    assert ask("revoke", "T", "--reason", "").code == 0


@pytest.mark.parametrize(
    ("typed", "name", "problem"),
    [
        ("campaigns pause 3 --sku", "campaigns pause", "option '--sku' requires an argument"),
        ("campaigns archive 3 --program", "campaigns archive", "option '--program' requires an argument"),
        ("ledger status --keyset", "ledger status", "option '--keyset' requires an argument"),
        ("mint --campaign", "mint", "option '--campaign' requires an argument"),
        ("campaigns pause --nothing", "campaigns pause", "no such option: --nothing"),
        ("campaigns --nothing", "campaigns", "no such option: --nothing"),
    ],
)
def test_a_mistake_points_to_the_help_of_its_own_command(command, typed, name, problem):
    """The help of the whole program does not have the options of a command."""
    ended = command(*typed.split())
    told = f"redemption {name}: {problem}; see redemption {name} --help\n"
    assert (ended.code, ended.out, ended.err) == (2, "", told)


def test_help_is_given_whatever_else_was_typed(command):
    assert command("mint", "--customer=", "--help").code == 0
