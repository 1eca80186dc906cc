"""The installed libnghttp2 is a version without known vulnerabilities."""

import re
import tomllib
from importlib.metadata import version

import pytest
from tool_loader import ROOT, load_tool

engine_version = load_tool("engine_version")


def test_the_installed_engine_is_known_and_not_too_old(capsys):
    assert engine_version.main() == 0
    said = capsys.readouterr().out
    assert re.fullmatch(r"ngh2 \S+ with libnghttp2 \d+\.\d+\.\d+\n", said)


def test_the_pinned_engine_is_the_one_that_is_tested():
    (pin,) = [
        line
        for line in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["server"]
        if line.startswith("ngh2")
    ]
    assert pin == f"ngh2=={version('ngh2')}"


def test_an_engine_that_nobody_looked_into_is_unfit(monkeypatch, capsys):
    monkeypatch.setattr(engine_version, "LIBNGHTTP2_VERSIONS", {})
    assert engine_version.main() == 1
    assert "unknown libnghttp2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("found", "fit"), [((1, 68, 0), False), ((1, 9, 0), False), ((1, 68, 1), True), ((1, 100, 0), True)]
)
def test_an_engine_that_is_too_old_is_unfit(monkeypatch, capsys, found, fit):
    monkeypatch.setattr(engine_version, "LIBNGHTTP2_VERSIONS", {version("ngh2"): found})
    assert engine_version.main() == (0 if fit else 1)
    assert fit or "install one that has 1.68.1 or newer" in capsys.readouterr().err
