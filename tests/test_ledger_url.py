"""The form of the ledger's URL: what can be read in one way only is taken, all else is told without repeating it."""

import pytest
from redis.asyncio import ConnectionPool

from redemption.ledger_url import ledger_url_problem

RIGHT = [
    ("redis://127.0.0.1:6379", {"host": "127.0.0.1", "port": 6379}),
    ("redis://ledger", {"host": "ledger"}),
    ("redis://ledger/", {"host": "ledger"}),
    ("redis://ledger:6380/2", {"host": "ledger", "port": 6380, "db": 2}),
    ("redis://[::1]:6379/0", {"host": "::1", "port": 6379, "db": 0}),
    ("redis://:pass@h:1", {"host": "h", "port": 1, "password": "pass"}),
    ("redis://app:p%2Fa%23s%40s%25%3A@h", {"username": "app", "password": "p/a#s@s%:", "host": "h"}),
    ("redis://app:a:b!$&'()*+,;=@h", {"username": "app", "password": "a:b!$&'()*+,;=", "host": "h"}),
    ("rediss://h?ssl_cert_reqs=none&ssl_ca_certs=/etc/ca%20s.pem", {"ssl_ca_certs": "/etc/ca s.pem"}),
    ("rediss://h/3?ssl_check_hostname=false", {"db": 3, "ssl_check_hostname": False}),
    ("unix:///run/valkey/ledger.sock", {"path": "/run/valkey/ledger.sock"}),
    ("unix://app:pass@/run/%E6%95%B0%23.sock", {"username": "app", "password": "pass", "path": "/run/数#.sock"}),
]
ENCODE = "as its percent code"
WRONG = [
    ("", "is empty"),
    ("127.0.0.1:6379", "must begin with redis://"),
    ("http://user:secret@127.0.0.1", "must begin with redis://"),
    ("REDIS://127.0.0.1", "must begin with redis://"),
    ("redis://:secret x@h", "has a blank"),
    ("redis://h:6379\tx", "has a blank"),
    ("redis://:secret/x@h:6379", ENCODE),
    ("redis://:12/secret@h:6379", ENCODE),
    ("redis://:6379#secret@h", ENCODE),
    ("redis://:secret?x@h", ENCODE),
    ("redis://:secret@x@h", ENCODE),
    ("redis://:100%secret@h", ENCODE),
    ("redis://:密secret@h", ENCODE),
    ("redis://:[secret@h", ENCODE),
    ("redis://:\udcffsecret@h", ENCODE),
    ("redis://:secret/x", "must look like redis://"),
    ("redis://", "must look like redis://"),
    ("redis://:6379", "must look like redis://"),
    ("redis:///0", "must look like redis://"),
    ("redis://[::1", "must look like redis://"),
    ("redis://h:port", "must look like redis://"),
    ("redis://h:6379/ledger", "must look like redis://"),
    ("redis://h:6379/0/secret", "must look like redis://"),
    ("redis://h:0", "has a port"),
    ("redis://h:65536", "has a port"),
    ("redis://h:6379?password=secret", "takes no options"),
    ("redis://h?socket_timeout=1", "takes no options"),
    ("rediss://h?retry_on_timeout=1", "takes these options"),
    ("rediss://h?ssl_cert_reqs=secret", "not one of: none, optional, required"),
    ("rediss://h?ssl_check_hostname=secret", "not one of: true, false"),
    ("rediss://h?ssl_ca_certs=/a%zz", "write # as %23"),
    ("unix://run/ledger.sock", "the whole path"),
    ("unix://", "the whole path"),
    ("unix:///run/a#secret.sock", "write # as %23"),
]


@pytest.mark.parametrize(("url", "meaning"), RIGHT)
def test_what_is_right_means_to_the_client_what_it_says(url, meaning):
    assert ledger_url_problem(url) is None
    found = ConnectionPool.from_url(url).connection_kwargs
    assert {name: found[name] for name in meaning} == meaning


@pytest.mark.parametrize(("url", "problem"), WRONG)
def test_what_is_wrong_is_told_and_not_repeated(url, problem):
    told = ledger_url_problem(url)
    assert problem in told
    assert "secret" not in told
    assert "\n" not in told
