"""The README, word for word: every command in it is run, in its order, and prints what it says it prints."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from served import Served

ROOT = Path(__file__).parent.parent.parent
BINARIES = Path(sys.executable).parent
DEFAULT = "127.0.0.1:50051"
MAKE = re.compile(r"make (\S+)")


def blocks(document):
    """The console blocks, each a list of commands with the output they promise."""
    for block in re.findall(r"^```console\n(.*?)^```$", document, flags=re.MULTILINE | re.DOTALL):
        commands = []
        for line in block.splitlines():
            if line.startswith("$ "):
                commands.append((line[2:], []))
            else:
                commands[-1][1].append(line)
        yield commands


COMMANDS = [command for block in blocks((ROOT / "README.md").read_text()) for command in block]


def matches(promised, printed):
    """Whether the output is as promised; an ellipsis stands for anything."""
    if not promised:
        return True
    pattern = ".*".join(re.escape(part) for part in "\n".join(promised).split("…"))
    return re.fullmatch(pattern, printed.strip(), flags=re.DOTALL) is not None


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """A shell like a newcomer's, in which variables last from one command to the next, and a running server."""
    directory = tmp_path_factory.mktemp("readme")
    (directory / "examples").symlink_to(ROOT / "examples")
    environment = {"PATH": f"{BINARIES}{os.pathsep}{os.environ['PATH']}", "HOME": str(directory), "LANG": "C.UTF-8"}
    server = Served(directory, environment=environment).start()
    environment["REDEMPTION_SERVER"] = f"127.0.0.1:{server.port}"
    with subprocess.Popen(
        ["bash"],
        cwd=directory,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as bash:

        def run(command):
            here = command.replace(DEFAULT, environment["REDEMPTION_SERVER"])
            bash.stdin.write(f"{here}\ncode=$?; echo; echo ~end~ $code\n".encode())
            bash.stdin.flush()
            printed = []
            for line in bash.stdout:
                if line.startswith(b"~end~"):
                    return "".join(printed), int(line.split()[1])
                printed.append(line.decode())
            raise AssertionError("the shell ended")

        run.banner = server.output
        run.directory = directory
        run.address = environment["REDEMPTION_SERVER"]
        yield run
        bash.stdin.close()
    server.stop()


@pytest.mark.parametrize(("command", "promised"), COMMANDS, ids=[command for command, _ in COMMANDS])
def test_a_command_prints_what_the_readme_says(shell, command, promised):
    target = MAKE.fullmatch(command)
    if target:
        # The targets themselves are what runs these tests; that make knows them is enough here.
        subprocess.run(["make", "--dry-run", target[1]], cwd=ROOT, check=True, capture_output=True)
        if target[1] == "run":
            said = re.sub(r" --server \S+", "", shell.banner)
            said = re.sub(r"127\.0\.0\.1:\d+", DEFAULT, said)
            said = re.sub(r"try      \S+", "try      .venv/bin/redemption", said)
            assert matches(promised, said), said
        return
    printed, code = shell(command)
    assert matches(promised, printed), printed
    assert "Traceback" not in printed
    refused = any(line.startswith(("ALREADY_REDEEMED", "MIN_SPEND", "CODE_INVALID")) for line in promised)
    assert code == (1 if refused else 0), printed


def test_the_example_of_a_checkout_runs(shell):
    """With a real token it is approved; the second time, under a new request id, the shopper is told why not."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    token, _ = shell("redemption mint --campaign 1 --count 1 --format txt")
    code = code.replace("the token that the shopper holds", token.strip())
    Path(shell.directory, "checkout.py").write_text(code.replace(DEFAULT, shell.address))
    command = f"{sys.executable} checkout.py"
    assert shell(command) == ("take off 5000 [('1', 5000)]\n\n", 0)
    # The example's order is the same one, so it gets to know that it used the coupon itself.
    told, code = shell(command)
    assert told.startswith("tell the shopper: ")
    assert code == 0


def test_there_is_something_to_run():
    assert len(COMMANDS) > 12


def test_every_setting_is_in_the_table():
    from redemption.settings import Settings

    document = (ROOT / "README.md").read_text()
    missing = [name for name in Settings.model_fields if f"`{name}`" not in document]
    assert not missing
