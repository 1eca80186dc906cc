"""What the names of campaigns promise."""

from decimal import Decimal

import pytest

from redemption.cli.campaign_file.name_promises import FullReduction, promised_basis_points, promised_reductions


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("双11 8折券", {2000: "8折"}),
        ("全场 85折", {1500: "85折"}),
        ("双11 ８折券", {2000: "8折"}),
        ("20\uff05 off", {2000: "20% off"}),
        ("8.5 折", {1500: "8.5 折"}),
        ("5 折", {5000: "5 折"}),
        ("八折优惠", {2000: "八折"}),
        ("会员九五折", {500: "九五折"}),
        ("第二件半价", {5000: "半价"}),
        ("对折", {5000: "对折"}),
        ("满2件9折，满3件8折", {1000: "9折", 2000: "8折"}),  # noqa: RUF001 - a Chinese comma
        ("Spring, 20% off", {2000: "20% off"}),
        ("12.5 % OFF", {1250: "12.5 % OFF"}),
        ("1折起", {9000: "1折"}),
    ],
)
def test_a_part_is_what_is_taken_off(name, expected):
    """8折 leaves eight tenths, so it takes 20 % off."""
    assert promised_basis_points(name) == expected


@pytest.mark.parametrize(
    "name",
    [
        "双11折上折",
        "双十一折上折",
        "双11折扣券",
        "618折后价",
        "双12折",
        "满200减50",
        "骨折价",
        "打折",
        "100%",
        "0折",
        "110% off",
    ],
)
def test_what_is_no_part_promises_none(name):
    assert promised_basis_points(name) == {}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("618 满200减50", [(200, 50)]),
        ("每满300元减40", [(300, 40)]),
        ("满 99.90 立减 10", [("99.90", 10)]),
        ("满２００减５０", [(200, 50)]),
        ("满300减30, 满500减80", [(300, 30), (500, 80)]),
        ("满3件减50", []),
        ("满减", []),
    ],
)
def test_a_full_reduction_is_read_from_a_name(name, expected):
    assert list(promised_reductions(name)) == [FullReduction(Decimal(spend), Decimal(off)) for spend, off in expected]
