"""The keyset's file: checked when it is read, and created once, only for a development server."""

import os
import stat
from pathlib import Path

import pytest
from builders.keysets import keyset_of

from redemption.server.keyset_file import fence_path, make_keyset, may_make_keyset, read_keyset, require_apart
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
    with pytest.raises(FileExistsError):
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
