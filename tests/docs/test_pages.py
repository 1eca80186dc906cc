"""The pages name only files that exist, their links lead somewhere, and the table of rooms is the tested one."""

import re
from pathlib import Path

import pytest
from test_rooms import MAY_IMPORT

ROOT = Path(__file__).parent.parent.parent
SOURCE = ROOT / "src" / "redemption"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
WITH_PATHS = [ROOT / "CONTRIBUTING.md", ROOT / "docs" / "architecture.md", ROOT / "docs" / "glossary.md"]
FILE = re.compile(r"`([\w.][\w./-]*\.(?:json|lua|md|proto|py|yaml))`")
FOLDER = re.compile(r"`((?:[\w-]+/)+)`")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|^\[\w+\]: (\S+)$", re.MULTILINE)


def text_of(page):
    """A page without what is shown as code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page):
    titles = re.findall(r"^#+ (.*)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links():
    for page in PAGES:
        for found in LINK.finditer(text_of(page)):
            link = found[1] or found[2]
            if "://" not in link:
                yield pytest.param(page, link, id=f"{page.relative_to(ROOT)}: {link}")


@pytest.mark.parametrize(("page", "link"), list(links()))
def test_every_link_leads_somewhere(page, link):
    file, _, anchor = link.partition("#")
    target = (page.parent / file) if file else page
    assert target.exists()
    assert not anchor or anchor in anchors(target)


@pytest.mark.parametrize("page", WITH_PATHS, ids=lambda page: page.name)
def test_every_file_that_a_page_names_is_there(page):
    """By its path from the repository or from the package; a bare name is that of some file."""
    text = text_of(page)
    named = {*FILE.findall(text), *FOLDER.findall(text)}
    assert len(named) > 20
    names = {path.name for folder in ("src", "tests", "protos", "tools") for path in (ROOT / folder).rglob("*.*")}
    missing = [name for name in named if not ((ROOT / name).exists() or (SOURCE / name).exists() or name in names)]
    assert [name for name in missing if "NAME" not in name] == []  # a recipe's own word for a new file


def test_the_page_says_of_every_room_what_it_may_import():
    section = text_of(ROOT / "docs" / "architecture.md").partition("## The rooms")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)(?:/|\.py)` \|[^|]*\|([^|]*)\|$", section, re.MULTILINE)
    told = {room: set(re.findall(r"`(\w+)`", imports)) for room, imports in rows}
    held = {room: imports - {room} for room, imports in MAY_IMPORT.items() if not room.startswith("__")}
    assert told == held | {"v1": set()}
