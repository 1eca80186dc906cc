"""``mint``: coupons on the screen, or in a file that is complete or does not exist."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from fake_server import failing
from waiting import SECONDS_MAX

from redemption.cli import exits
from redemption.v1.issuance_service_pb2 import MINT_FORM_CODE, MintedToken, MintResponse


@pytest.fixture(autouse=True)
def _no_pause(campaign_3, monkeypatch):
    monkeypatch.setattr("redemption.cli.mint._PAUSE_SECONDS", 0.0)


def coupons(request, _context):
    """Two coupons in a part."""
    serials = range(request.skip, request.count)
    for at in range(0, len(serials), 2):
        yield MintResponse(tokens=[MintedToken(token=f"T{serial}", serial=serial) for serial in serials[at : at + 2]])


def breaking(times):
    """Break the stream after one part, so often."""
    left = iter(range(times))

    def answer(request, context):
        parts = coupons(request, context)
        if next(left, None) is not None:
            yield next(parts)
            failing(grpc.StatusCode.UNAVAILABLE, "stopping", reason="SERVER_STOPPING")(request, context)
        yield from parts

    return answer


def test_coupons_are_printed_as_csv(ask, fake):
    fake.answers["Mint"] = coupons
    ended = ask("mint", "--campaign", "3", "--count", "3")
    assert (ended.code, ended.out, ended.err) == (0, "token,serial\nT0,0\nT1,1\nT2,2\n", "")


@pytest.mark.parametrize("flags", [("--format", "jsonl"), ("--json",)])
def test_coupons_are_printed_as_json_lines(ask, fake, flags):
    fake.answers["Mint"] = coupons
    ended = ask("mint", "--campaign", "3", "--count", "2", *flags)
    assert ended.out == '{"token": "T0", "serial": 0}\n{"token": "T1", "serial": 1}\n'


@pytest.mark.parametrize(
    ("flags", "printed"),
    [
        ((), "code,serial\nC0,0\nC1,1\nC2,2\n"),
        (("--format", "txt"), "C0\nC1\nC2\n"),
        (("--json",), "".join(f'{{"code": "C{serial}", "serial": {serial}}}\n' for serial in range(3))),
    ],
)
def test_codes_are_printed_in_place_of_tokens(ask, fake, flags, printed):
    part = MintResponse(tokens=[MintedToken(code=f"C{serial}", serial=serial) for serial in range(3)])
    fake.answers["Mint"] = lambda _request, _context: iter([part])
    ended = ask("mint", "--campaign", "3", "--count", "3", "--codes", *flags)
    assert (ended.code, ended.out, ended.err) == (0, printed, "")
    assert fake.asked["Mint"][0].form == MINT_FORM_CODE


def test_a_file_of_codes_says_so(ask, fake, tmp_path):
    fake.answers["Mint"] = coupons
    file = tmp_path / "codes.csv"
    ended = ask("mint", "--campaign", "3", "--count", "4", "--codes", "--out", file)
    assert ended.out == f"minted 4 codes of campaign 3 满200减50 into {file}\n"


@pytest.mark.parametrize("count", [3, 1_000_000])
def test_a_reader_who_leaves_ends_it_quietly(fake, count):
    """As ``mint | head`` does, while much is still to come, or when all of it is already on its way."""
    fake.answers["Mint"] = endless if count > 3 else coupons
    command = [sys.executable, "-m", "redemption", "mint", "--campaign", "3", "--count", str(count)]
    environment = {**os.environ, "REDEMPTION_SERVER": fake.address}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    if count > 3:
        assert process.stdout.readline() == b"token,serial\n"
    process.stdout.close()
    assert process.wait(30) == exits.PIPE_CLOSED
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_without_room_says_how_to_get_the_same_coupons(fake, unbuffered):
    fake.answers["Mint"] = coupons
    command = [sys.executable, "-m", "redemption", "mint", "--campaign", "3", "--count", "3", "--request-id", "mine"]
    environment = os.environ | {"REDEMPTION_SERVER": fake.address, "PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            command, check=False, stdout=full, stderr=subprocess.PIPE, text=True, env=environment, timeout=SECONDS_MAX
        )
    told = "the output cannot be written: No space left on device; for the same coupons again: --request-id mine"
    assert (ended.returncode, ended.stderr) == (exits.FAILED, f"redemption: {told}\n")


def endless(_request, _context):
    """Coupons until the caller leaves."""
    part = MintResponse(tokens=[MintedToken(token="T" * 64, serial=7)] * 500)
    while True:
        yield part


def test_a_file_is_written_whole_and_private(ask, fake, tmp_path):
    fake.answers["Mint"] = coupons
    file = tmp_path / "coupons.csv"
    ended = ask("mint", "--campaign", "3", "--count", "1000", "--out", file)
    assert ended.out == f"minted 1,000 coupons of campaign 3 满200减50 into {file}\n"
    assert len(file.read_text().splitlines()) == 1001
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("coupons.jsonl", '{"token": "T0", "serial": 0}\n'),
        ("coupons.txt", "T0\n"),
        ("coupons.csv", "token,serial\nT0,0\n"),
        ("coupons", "token,serial\nT0,0\n"),
    ],
)
def test_the_format_follows_the_files_name(ask, fake, tmp_path, name, expected):
    fake.answers["Mint"] = coupons
    file = tmp_path / name
    ask("mint", "--campaign", "3", "--count", "1", "--out", file)
    assert file.read_text() == expected


def test_a_file_that_exists_is_not_replaced_and_nothing_is_minted(ask, fake, tmp_path):
    file = tmp_path / "coupons.csv"
    file.write_text("precious")
    ended = ask("mint", "--campaign", "3", "--count", "1", "--out", file)
    assert ended.err == f"redemption: {file}: exists already; choose another name, or replace it with --force\n"
    assert (ended.code, file.read_text(), dict(fake.asked)) == (2, "precious", {})


def test_a_file_that_appears_meanwhile_is_not_replaced(ask, fake, tmp_path):
    file = tmp_path / "coupons.csv"

    def meanwhile(request, context):
        file.write_text("precious")
        yield from coupons(request, context)

    fake.answers["Mint"] = meanwhile
    ended = ask("mint", "--campaign", "3", "--count", "1", "--out", file)
    assert (ended.code, ended.err) == (2, f"redemption: {file}: cannot be written: File exists\n")
    assert (file.read_text(), list(tmp_path.iterdir())) == ("precious", [file])


def test_force_replaces(ask, fake, tmp_path):
    fake.answers["Mint"] = coupons
    file = tmp_path / "coupons.csv"
    file.write_text("old")
    assert ask("mint", "--campaign", "3", "--count", "1", "--out", file, "--force").code == 0
    assert file.read_text() == "token,serial\nT0,0\n"


def test_force_replaces_what_a_link_points_to_and_nothing_that_is_no_file(ask, fake, tmp_path):
    fake.answers["Mint"] = coupons
    file, link, pipe = tmp_path / "coupons.csv", tmp_path / "link", tmp_path / "pipe"
    file.write_text("old")
    link.symlink_to(file)
    os.mkfifo(pipe)
    assert ask("mint", "--campaign", "3", "--count", "1", "--out", link, "--force").code == 0
    assert (file.read_text(), link.is_symlink()) == ("token,serial\nT0,0\n", True)
    for other in (pipe, tmp_path):
        ended = ask("mint", "--campaign", "3", "--count", "1", "--out", other, "--force")
        assert (ended.code, "is no file that can be replaced" in ended.err) == (2, True)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_broken_stream_is_asked_for_the_rest(ask, fake):
    fake.answers["Mint"] = breaking(2)
    ended = ask("mint", "--campaign", "3", "--count", "7", "--skip", "1")
    assert (ended.code, ended.out) == (0, "token,serial\n" + "".join(f"T{serial},{serial}\n" for serial in range(1, 7)))
    assert [request.skip for request in fake.asked["Mint"]] == [1, 3, 5]
    assert len({request.request_id for request in fake.asked["Mint"]}) == 1


def test_a_mint_that_fails_before_its_first_coupon_prints_no_heading(ask, fake):
    """A script that reads the table sees no table, rather than an empty one."""
    fake.answers["Mint"] = failing(grpc.StatusCode.FAILED_PRECONDITION, "ended", reason="CAMPAIGN_ENDED")
    ended = ask("mint", "--campaign", "3", "--count", "3", "--request-id", "batch-1")
    assert (ended.code, ended.out) == (2, "")


def test_a_mint_of_no_more_coupons_prints_the_heading_alone(ask, fake):
    fake.answers["Mint"] = coupons
    ended = ask("mint", "--campaign", "3", "--count", "3", "--skip", "3")
    assert (ended.code, ended.out) == (0, "token,serial\n")


def test_a_file_is_not_there_when_the_server_goes_away(ask, fake, tmp_path):
    """The received part is thrown away: the same request id returns the same coupons."""
    parts = iter([True])

    def answer(request, context):
        if next(parts, None):
            yield next(coupons(request, context))
        failing(grpc.StatusCode.UNAVAILABLE, "stopping", reason="SERVER_STOPPING")(request, context)

    fake.answers["Mint"] = answer
    file = tmp_path / "coupons.csv"
    ended = ask("mint", "--campaign", "3", "--count", "5", "--out", file, "--request-id", "batch-1")
    told = f"UNAVAILABLE: stopping; {file} was not written; for the same coupons again: --request-id batch-1"
    assert (ended.code, ended.err) == (3, f"redemption: {told}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_sends_too_few_is_not_believed(ask, fake, tmp_path):
    fake.answers["Mint"] = [MintResponse(tokens=[MintedToken(token="T0")])]
    fake.answers["Mint"] = lambda _request, _context: iter([MintResponse(tokens=[MintedToken(token="T0")])])
    file = tmp_path / "coupons.csv"
    ended = ask("mint", "--campaign", "3", "--count", "2", "--out", file)
    assert (ended.code, ended.err) == (4, "redemption: the server sent 1 coupons and said that these are all 2\n")
    assert not file.exists()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2026-12-31 00:00", 1_798_646_400), ("2026-12-31T00:00:00Z", 1_798_675_200)],
)
def test_an_expiry_without_an_offset_is_local_to_the_campaign(ask, fake, text, seconds):
    fake.answers["Mint"] = coupons
    ask("mint", "--campaign", "3", "--count", "1", "--expires", text)
    assert fake.asked["Mint"][0].expire_time.seconds == seconds


def test_a_directory_that_is_not_there_is_one_line(ask, fake, tmp_path):
    ended = ask("mint", "--campaign", "3", "--count", "1", "--out", tmp_path / "none" / "x.csv")
    assert ended.err == f"redemption: {tmp_path}/none/x.csv: cannot be written: No such file or directory\n"
    assert ended.code == 2
    assert "Mint" not in fake.asked


def test_an_interrupted_mint_says_how_to_get_the_same_coupons(ask, fake, monkeypatch, tmp_path):
    """Their serials are taken, so losing the request id would lose them."""
    fake.answers["Mint"] = coupons

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("redemption.cli.mint._write", interrupted)
    file = tmp_path / "coupons.csv"
    ended = ask("mint", "--campaign", "3", "--count", "9", "--request-id", "mine", "--out", str(file))
    assert ended.code == exits.INTERRUPTED
    assert (
        ended.err == f"redemption: interrupted; {file} was not written; for the same coupons again: --request-id mine\n"
    )
    assert list(tmp_path.iterdir()) == []
