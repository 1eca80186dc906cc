"""The form of the ledger's URL: what is wrong with it, in words that repeat nothing of it, because it may hold secrets.

The Redis client reads a URL leniently. A password with a ``/`` or a ``#`` in it then becomes a host, a port or a path,
and the client may connect to another place than was meant. So a URL is refused unless it can be read in one way only.
"""

import re
from urllib.parse import parse_qsl

_SCHEMES = ("redis://", "rediss://", "unix://")
_PORT_MAX = 65_535
_TLS_OPTIONS = frozenset(
    {
        *("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password"),
        *("ssl_cert_reqs", "ssl_check_hostname"),
    }
)
_CHOICES = {
    "ssl_cert_reqs": ("none", "optional", "required"),
    "ssl_check_hostname": ("true", "false"),
}
# RFC 3986, section 3.2.1: what may stand in the user information as it is.
_USER_INFO = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*")
_HOST_AND_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::(?P<port>[0-9]{1,5}))?")
_WRONG_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")

_ENCODE = (
    "in user and password write every character but letters, digits and -._~ as its percent code, for example "
    "/ as %2F, # as %23, @ as %40, % as %25"
)
_ENCODE_REST = "write # as %23, ? as %3F and % as %25 in a path or an option"


def ledger_url_problem(url: str) -> str | None:
    """Return what is wrong with the URL of a ledger, or None; the text repeats no part of the URL."""
    if not url:
        return "is empty: give it a value, or unset it; then the ledger is an embedded one"
    scheme = next((each for each in _SCHEMES if url.startswith(each)), None)
    if scheme is None:
        return "must begin with redis://, rediss:// or unix://, for example redis://127.0.0.1:6379"
    if any(character <= " " or character == "\x7f" for character in url):
        return "has a blank or a line end in it: remove it, or write a blank as %20"
    authority, path, options = _parts(url.removeprefix(scheme))
    user_info, _, place = authority.rpartition("@")
    if not _USER_INFO.fullmatch(user_info) or "@" in path or "@" in options:
        return _ENCODE
    if "#" in url or _WRONG_PERCENT.search(path + options):
        return f"{_ENCODE}; {_ENCODE_REST}"
    if scheme == "unix://":
        problem = None if not place and path else "must be unix:///PATH, the whole path of a socket"
    else:
        problem = _place_problem(place, path)
    return problem or _options_problem(options, with_tls=scheme == "rediss://")


def _parts(rest: str) -> tuple[str, str, str]:
    """Return the authority, the path and the options, as the Redis client divides them."""
    rest, _, options = rest.partition("?")
    authority, slash, path = rest.partition("/")
    return authority, slash + path, options


def _place_problem(place: str, path: str) -> str | None:
    found = _HOST_AND_PORT.fullmatch(place)
    if found is None or not re.fullmatch(r"(/[0-9]*)?", path):
        return f"must look like redis://USER:PASSWORD@HOST:PORT/DATABASE, of which only the host is needed; {_ENCODE}"
    if found["port"] and not 1 <= int(found["port"]) <= _PORT_MAX:
        return f"has a port that is not 1 to {_PORT_MAX}"
    return None


def _options_problem(options: str, *, with_tls: bool) -> str | None:
    """Return what is wrong with the options; others than these would change how the service uses its connections."""
    known = _TLS_OPTIONS if with_tls else frozenset[str]()
    given = parse_qsl(options, keep_blank_values=True)
    if any(name not in known for name, _ in given):
        if not with_tls:
            return "takes no options behind a ?, except that rediss:// takes those of TLS"
        return f"takes these options behind a ? and no others: {', '.join(sorted(known))}"
    for name, value in given:
        if name in _CHOICES and value not in _CHOICES[name]:
            return f"has an option {name} that is not one of: {', '.join(_CHOICES[name])}"
    return None
