"""The keyset's file: checked when it is read, and created once, only for a development server."""

import os
import socket
import stat
import threading
from pathlib import Path

import pytest
from builders.keysets import keyset_of, rotated
from waiting import SECONDS_MAX

from redemption.server.keyset_file import (
    fence_path,
    make_keyset,
    may_make_keyset,
    read_keyset,
    require_apart,
    require_living_key,
)
from redemption.server.startup import EXIT_FAILED, StartRefused
from redemption.settings import Settings

LEDGER_ELSEWHERE = {"redis_url": "redis://127.0.0.1:6379"}


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Settings of a server whose files are in a directory of its own, whatever is set around the tests."""
    for name in [name for name in os.environ if name.startswith("REDEMPTION_")]:
        monkeypatch.delenv(name)

    def change(**changes):
        return Settings(**{"keyset": tmp_path / "keys" / "a.keyset", "data_dir": tmp_path / "data"} | changes)

    return change


def written(settings, mode=0o600, **keyset):
    """Write a keyset where the settings say."""
    settings.keyset.parent.mkdir(exist_ok=True)
    settings.keyset.write_bytes(keyset_of(**keyset).to_json())
    settings.keyset.chmod(mode)
    return settings


def test_a_keyset_that_was_made_is_read_back(settings):
    made = make_keyset(settings())
    assert read_keyset(settings()) == made
    assert (made.environment, made.development) == ("development", True)


def test_a_keyset_is_made_for_nobody_elses_eyes_and_never_over_another(settings):
    make_keyset(settings())
    assert stat.S_IMODE(settings().keyset.stat().st_mode) == 0o600
    with pytest.raises(StartRefused, match="File exists"):
        make_keyset(settings())


REFUSED = [
    ({}, {"environment": "production"}, "is of environment 'production', this server of 'development'"),
    ({"environment": "production"}, {"environment": "production", "development": True}, "is a development keyset"),
    (LEDGER_ELSEWHERE, {"environment": "development", "development": True}, "is a development keyset"),
    ({}, {"environment": "development", "mode": 0o640}, "can be read by others: chmod 600"),
    ({}, {"environment": "development", "mode": 0o604}, "can be read by others: chmod 600"),
]


@pytest.mark.parametrize(("changes", "keyset", "told"), REFUSED, ids=[told for *_, told in REFUSED])
def test_a_keyset_that_must_not_be_used_is_refused_with_its_cure(settings, changes, keyset, told):
    with pytest.raises(StartRefused) as refused:
        read_keyset(written(settings(**changes), **keyset))
    assert told in str(refused.value)
    assert refused.value.exit_code == EXIT_FAILED


@pytest.mark.parametrize(
    ("changes", "keyset"),
    [
        ({}, {"environment": "development", "development": True}),
        ({}, {"environment": "development"}),
        ({"environment": "production"} | LEDGER_ELSEWHERE, {"environment": "production"}),
    ],
)
def test_a_keyset_of_this_environment_is_read(settings, changes, keyset):
    assert read_keyset(written(settings(**changes), **keyset)).environment == keyset["environment"]


@pytest.fixture
def place(tmp_path):
    """Makes something that is no keyset, and returns its path."""

    def made(what):
        path = tmp_path / "odd"
        match what:
            case "FIFO":
                os.mkfifo(path)
            case "directory":
                path.mkdir()
            case "socket":
                with socket.socket(socket.AF_UNIX) as bound:
                    bound.bind(os.fspath(path))
            case "link to itself":
                path.symlink_to(path)
            case "link to a FIFO":
                os.mkfifo(tmp_path / "fifo")
                path.symlink_to(tmp_path / "fifo")
            case "large file":
                with path.open("wb") as file:
                    file.truncate(1 << 40)  # takes no room on the disk
            case "below a file":
                path.touch()
                path /= "a.keyset"
            case device:
                path = Path(device)
        return path

    return made


NO_KEYSETS = [
    ("FIFO", "is not a regular file: set REDEMPTION_KEYSET to the file with the keys"),
    ("link to a FIFO", "is not a regular file: set REDEMPTION_KEYSET to the file with the keys"),
    ("directory", "is not a regular file: set REDEMPTION_KEYSET to the file with the keys"),
    ("/dev/zero", "is not a regular file: set REDEMPTION_KEYSET to the file with the keys"),
    ("/dev/null", "is not a regular file: set REDEMPTION_KEYSET to the file with the keys"),
    ("socket", "cannot be read (No such device or address): set REDEMPTION_KEYSET to the file with the keys, which"),
    ("link to itself", "cannot be read (Too many levels of symbolic links): set REDEMPTION_KEYSET"),
    ("below a file", "cannot be read (Not a directory): set REDEMPTION_KEYSET"),
    ("large file", "the keyset is longer than 1048576 bytes; is it the right file?"),
    ("/etc/passwd", "the keyset is not JSON in UTF-8; is it the right file?"),
]


@pytest.mark.parametrize(("what", "told"), NO_KEYSETS, ids=[what for what, _ in NO_KEYSETS])
def test_what_is_no_keyset_is_told_at_once_and_its_mode_is_left_alone(settings, place, what, told):
    """Read in a thread: what hangs must be seen, and must not hang the tests."""
    path = place(what)
    answers = []

    def read():
        try:
            read_keyset(settings(keyset=path))
        except StartRefused as refused:
            answers.append(str(refused))

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    reading.join(SECONDS_MAX)
    (answer,) = answers
    assert answer.startswith(f"{path}")
    assert told in answer
    assert "chmod" not in answer
    assert "\n" not in answer


def test_a_keyset_of_another_user_is_refused(settings, monkeypatch):
    """Its owner can change it, though nobody else can read it."""
    path = written(settings(), environment="development").keyset
    if os.geteuid() == 0:
        os.chown(path, 12_345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(StartRefused, match=r"belongs to another user \(\d+\), who may change the keys: chown it"):
        read_keyset(settings())


OPEN_DIRECTORIES = [(0o777, True), (0o702, True), (0o755, False), (0o770, False), (0o1777, False)]


@pytest.mark.parametrize(("mode", "refused"), OPEN_DIRECTORIES, ids=[oct(mode) for mode, _ in OPEN_DIRECTORIES])
@pytest.mark.parametrize("role", ["keyset", "link", "fence"])
def test_a_directory_in_which_everybody_may_replace_the_file_is_refused(settings, tmp_path, role, mode, refused):
    """The directory of the keyset, of a link to it, and of the fence; /tmp has the sticky bit, so it is fine."""
    given = written(settings(), environment="development")
    (tmp_path / "open").mkdir()
    if role == "keyset":
        given = settings(keyset=given.keyset.rename(tmp_path / "open" / "a.keyset"), fence=tmp_path / "fence")
    elif role == "link":
        (tmp_path / "open" / "a.keyset").symlink_to(given.keyset)
        given = settings(keyset=tmp_path / "open" / "a.keyset", fence=tmp_path / "fence")
    else:
        given = settings(fence=tmp_path / "open" / "fence")
    (tmp_path / "open").chmod(mode)
    if not refused:
        assert read_keyset(given).environment == "development"
        return
    with pytest.raises(StartRefused, match=rf"everybody may replace .*: chmod o-w {tmp_path}/open$"):
        read_keyset(given)


def test_no_keyset_is_made_where_everybody_may_replace_it(settings, tmp_path):
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys").chmod(0o777)
    with pytest.raises(StartRefused, match="everybody may replace"):
        make_keyset(settings())
    assert not settings().keyset.exists()


@pytest.mark.parametrize("place", ["/proc/x/k", "/dev/null/k", f"/proc/{'k' * 300}"], ids=lambda place: place[:12])
def test_a_keyset_that_cannot_be_made_is_told_as_the_keyset(settings, place):
    chosen = settings(keyset=Path(place))
    with pytest.raises(StartRefused, match=rf"^the keyset cannot be made at {place} \(.*set REDEMPTION_KEYSET"):
        _ = may_make_keyset(chosen) and make_keyset(chosen)


def test_a_directory_that_is_made_for_a_keyset_is_this_users_alone(settings):
    before = os.umask(0)
    try:
        make_keyset(settings())
    finally:
        os.umask(before)
    assert stat.S_IMODE(settings().keyset.parent.stat().st_mode) == 0o700
    assert read_keyset(settings())


@pytest.mark.parametrize(("development", "anew"), [(True, "or begin anew without it"), (False, "")])
def test_a_primary_key_whose_life_is_over_starts_no_server(settings, development, anew):
    keyset = keyset_of(development=development)
    end = keyset.primary.max_expires_at
    require_living_key(settings(), keyset, end - 1)
    for now in (end, end + 1):
        with pytest.raises(StartRefused) as refused:
            require_living_key(settings(), keyset, now)
        told = str(refused.value)
        assert f"its primary key {keyset.primary.id:08x} ended on 20" in told
        assert "add a new key and make it PRIMARY" in told
        assert anew in told


def test_an_older_key_whose_life_is_over_may_stay_in_the_keyset(settings):
    """Its receipts are still checked."""
    keyset = keyset_of()
    end = keyset.primary.max_expires_at
    require_living_key(settings(), rotated(keyset, now=end), end)


def test_a_missing_keyset_is_told_with_how_to_name_it(settings):
    with pytest.raises(StartRefused, match=r"there is no keyset at .*: set REDEMPTION_KEYSET"):
        read_keyset(settings())


def test_a_malformed_keyset_is_told_with_its_path_and_without_its_content(settings):
    written(settings())
    settings().keyset.write_text('{"secret": 1}')
    with pytest.raises(StartRefused) as refused:
        read_keyset(settings())
    assert str(refused.value).startswith(f"{settings().keyset}: ")


def test_a_keyset_inside_the_data_directory_is_refused(settings, tmp_path):
    """Also behind a link: it would be restored together with the ledger."""
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    for place in (tmp_path / "data" / "a.keyset", tmp_path / "link" / "a.keyset"):
        with pytest.raises(StartRefused, match="keep it elsewhere"):
            require_apart(settings(keyset=place))
    require_apart(settings())
    require_apart(settings(keyset=tmp_path / "data" / "a.keyset", **LEDGER_ELSEWHERE))


def test_the_fence_stands_beside_the_keyset_unless_it_is_set(settings):
    assert fence_path(settings()) == settings().keyset.with_name("a.keyset.fence")
    assert fence_path(settings(fence=Path("/elsewhere"))) == Path("/elsewhere")


@pytest.mark.parametrize(
    ("changes", "left", "may"),
    [
        ({}, None, True),
        ({}, "a.keyset", False),
        ({}, "a.keyset.fence", False),
        ({"environment": "production"}, None, False),
        (LEDGER_ELSEWHERE, None, False),
    ],
)
def test_a_keyset_is_made_at_the_very_first_start_alone(settings, tmp_path, changes, left, may):
    (tmp_path / "keys").mkdir()
    if left:
        (tmp_path / "keys" / left).touch()
    assert may_make_keyset(settings(**changes)) is may
