"""Completion: the shell that is named is the one that counts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import SECONDS_MAX

REDEMPTION = Path(sys.executable).with_name("redemption")
SHELLS = "'bash', 'zsh', 'fish', 'powershell', 'pwsh', 'current'"
SIGNS = {
    "bash": "complete -o default -F",
    "zsh": "#compdef redemption",
    "fish": "complete --command redemption",
    "powershell": "Register-ArgumentCompleter",
    "pwsh": "Register-ArgumentCompleter",
}
"""What only the script of a shell has."""


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    """Nothing is installed for whoever runs the tests, and no PowerShell is started."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.parametrize("shell", SIGNS)
@pytest.mark.parametrize("form", ["{} {}", "{}={}"])
def test_the_script_is_that_of_the_shell_that_is_named(command, shell, form):
    ended = command(*form.format("--show-completion", shell).split())
    assert (ended.code, ended.err) == (0, "")
    assert [SIGNS[each] in ended.out for each in SIGNS] == [SIGNS[each] == SIGNS[shell] for each in SIGNS]


@pytest.mark.parametrize(
    ("shell", "place"),
    [
        ("bash", ".bash_completions/redemption.sh"),
        ("zsh", ".zfunc/_redemption"),
        ("fish", ".config/fish/completions/redemption.fish"),
    ],
)
def test_it_is_installed_for_the_shell_that_is_named(command, tmp_path, shell, place):
    ended = command("--install-completion", shell)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"{shell} completion installed in {tmp_path / place}\n")
    assert SIGNS[shell] in (tmp_path / place).read_text()


@pytest.mark.parametrize("option", ["--install-completion", "--show-completion"])
@pytest.mark.parametrize("shell", ["tcsh", "", "mint"])
def test_another_shell_is_refused_with_the_list(command, tmp_path, option, shell):
    """Also a command behind the option: a shell's name stands there."""
    ended = command(option, shell)
    told = f"redemption: invalid value for '{option}': '{shell}' is not one of {SHELLS}; see redemption --help\n"
    assert (ended.code, ended.out, ended.err) == (2, "", told)
    assert list(tmp_path.iterdir()) == []


def test_a_shell_that_is_not_there_is_one_line(command):
    ended = command("--install-completion", "pwsh")
    told = "completion for pwsh cannot be installed: No such file or directory: pwsh"
    assert (ended.code, ended.out, ended.err) == (2, "", f"redemption: {told}\n")


@pytest.mark.parametrize("named", ["", " current"])
def test_without_a_name_it_is_the_shell_that_calls(named):
    """The command behind it keeps the shell from handing its process over."""
    found = subprocess.run(
        ["/bin/bash", "-c", f"{REDEMPTION} --show-completion{named}; true"],
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS_MAX,
    )
    assert (SIGNS["bash"] in found.stdout, found.stderr) == (True, "")


def test_a_calling_shell_without_completion_is_told_which_ones_have_it(command, monkeypatch):
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("tcsh", "/bin/tcsh"))
    ended = command("--install-completion")
    told = "the current shell is not one that has completion here; name one: bash, zsh, fish, powershell, pwsh"
    assert (ended.code, ended.err) == (2, f"redemption: {told}\n")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (
            {"_REDEMPTION_COMPLETE": "complete_bash", "COMP_WORDS": "redemption re", "COMP_CWORD": "1"},
            "redeem\nreserve\nrelease\nreverse\nrevoke\n",
        ),
        (
            {"_REDEMPTION_COMPLETE": "complete_bash", "COMP_WORDS": "redemption program t", "COMP_CWORD": "2"},
            "tighten\nthaw-claims\n",
        ),
        (
            {"_REDEMPTION_COMPLETE": "complete_bash", "COMP_WORDS": "redemption deny add --kind d", "COMP_CWORD": "4"},
            "device\n",
        ),
        (
            {"_REDEMPTION_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "redemption rev"},
            '_arguments \'*: :(("reverse"',
        ),
        (
            {
                "_REDEMPTION_COMPLETE": "complete_fish",
                "_TYPER_COMPLETE_ARGS": "redemption rev",
                "_TYPER_COMPLETE_FISH_ACTION": "get-args",
            },
            "reverse\t",
        ),
        (
            {
                "_REDEMPTION_COMPLETE": "complete_powershell",
                "_TYPER_COMPLETE_ARGS": "redemption rev",
                "_TYPER_COMPLETE_WORD_TO_COMPLETE": "rev",
            },
            "reverse:::",
        ),
    ],
)
def test_every_shell_completes_commands(asked, found):
    completed = subprocess.run(
        [REDEMPTION], capture_output=True, text=True, check=True, env=os.environ | asked, timeout=SECONDS_MAX
    )
    assert completed.stdout.startswith(found)
