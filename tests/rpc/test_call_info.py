"""Who calls, and until when an answer is of use."""

import pytest

from redemption.rpc.call_info import call_info


@pytest.mark.parametrize(("remaining", "expected"), [(None, 5.0), (1.0, 0.98), (9.0, 8.98), (60.0, 10.0)])
def test_deadline_leaves_time_for_the_answer_to_travel(remaining, expected):
    assert call_info("/S/M", "peer", remaining, 100.0).deadline == pytest.approx(100 + expected)


@pytest.mark.parametrize("remaining", [0.0, 0.01, 0.02])
def test_deadline_too_near_for_an_answer_has_passed(remaining):
    assert call_info("/S/M", "peer", remaining, 100.0).deadline <= 100.0


def test_everybody_is_the_same_principal_without_credentials():
    info = call_info("/S/M", "peer", None, 0.0)
    assert (info.principal, info.method, info.peer, info.gone) == ("anonymous", "/S/M", "peer", False)
