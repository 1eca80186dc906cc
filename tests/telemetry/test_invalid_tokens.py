"""Why tokens are refused: every cause is counted, and none of them fills the log."""

from structlog.testing import capture_logs

from redemption.telemetry.invalid_tokens import LOG_SECONDS, InvalidTokens


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_every_token_is_counted_and_a_cause_is_logged_once_in_a_while():
    clock = Clock()
    observer = InvalidTokens(clock)
    with capture_logs() as logs:
        for _ in range(5):
            observer.not_genuine("tag", program="demo")
        observer.not_genuine("malformed", program="demo")
        clock.now += LOG_SECONDS
        observer.not_genuine("tag", program="demo")
    assert observer.counts == {"tag": 6, "malformed": 1}
    assert [(entry["cause"], entry["count"]) for entry in logs] == [("tag", 1), ("malformed", 1), ("tag", 5)]


def test_a_token_that_is_signed_and_was_never_issued_is_an_alarm_without_the_token():
    observer = InvalidTokens(Clock())
    with capture_logs() as logs:
        for serial in (7, 8):
            observer.not_believed("never_issued", program="demo", key_id=0xAB, campaign=3, serial=serial)
    (alarm,) = logs
    assert alarm["log_level"] == "critical"
    assert (alarm["key_id"], alarm["campaign"], alarm["serial"]) == ("000000ab", 3, 7)
    assert observer.counts["never_issued"] == 2


def test_an_alarm_of_one_program_or_key_does_not_silence_another():
    observer = InvalidTokens(Clock())
    with capture_logs() as logs:
        for program, key_id in (("a", 1), ("a", 1), ("b", 1), ("b", 2)):
            observer.not_believed("never_issued", program=program, key_id=key_id, campaign=3, serial=7)
    assert [(entry["program"], entry["key_id"]) for entry in logs] == [
        ("a", "00000001"),
        ("b", "00000001"),
        ("b", "00000002"),
    ]
