"""Gate: who may come in by the internal ways.

The secret, where one is set; and on loopback too, that a web page in a browser of this host stays out: a page cannot
leave out its Origin, nor a name rebound to 127.0.0.1 its Host.
"""

import hmac
import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Final

from exchange_push.errors import ConfigError, MalformedPush, PushCode, quoted

_PORT: Final = re.compile(r":[0-9]{1,5}\Z")
_BEARER: Final = re.compile(r"bearer +(.+)", re.IGNORECASE | re.DOTALL)
_OWN_SITES: Final = ("none", "same-origin")


class Gate:
    """`secret` None: whoever reaches us may come in. `origins` and `hosts` are let in beside none and loopback."""

    def __init__(self, secret: str | None = None, *, origins: Iterable[str] = (), hosts: Iterable[str] = ()) -> None:
        self._secret = None if secret is None else secret.encode()
        self._origins = frozenset(origin.lower() for origin in origins)
        self._hosts = frozenset(host.lower() for host in hosts)
        self.refused = 0

    @property
    def open(self) -> bool:
        """Is there no secret to know?"""
        return self._secret is None

    def knows(self, secret: str) -> bool:
        """Is this the secret? Takes as long whatever is wrong about it."""
        known = self._secret is None or hmac.compare_digest(secret.encode(), self._secret)
        self.refused += not known
        return known

    def check(self, headers: Mapping[str, str], *, secret: bool = True) -> None:
        """Raises MalformedPush (403) for a request with these headers, names in lower case, repeated ones joined.

        `secret` False: for what anybody on the host may know.
        """
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in self._origins:
            raise self._refusal(f"origin {quoted(origin)}, expected none or one of internal.origins")
        if origin is None and headers.get("sec-fetch-site", "none").lower() not in _OWN_SITES:
            raise self._refusal("a web page, expected none or one of internal.origins")
        host = headers.get("host")
        if host is None or not self._is_ours(host.lower()):
            raise self._refusal(f"host {quoted(host)}, expected a loopback name or one of internal.hosts")
        if secret and not self.open:
            bearer = _BEARER.fullmatch(headers.get("authorization", ""))
            if bearer is None:
                raise self._refusal("no secret, expected Authorization: Bearer <secret>")
            if not self.knows(bearer[1]):
                raise MalformedPush("wrong secret", PushCode.NOT_AUTHORISED)

    def _is_ours(self, host: str) -> bool:
        name = _PORT.sub("", host)
        return is_loopback(name.removeprefix("[").removesuffix("]")) or name in self._hosts or host in self._hosts

    def _refusal(self, msg: str) -> MalformedPush:
        self.refused += 1
        return MalformedPush(msg, PushCode.NOT_AUTHORISED)


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


_COLON: Final = re.compile(r"(?<!\\):")
_OWN_ADDRESS: Final = ("tcp", "tcp4", "tcp6", "ssl", "tls", "udp")


def guard_listen(description: str, secret: str | None, what: str) -> None:
    """Raises ConfigError where an endpoint (`tcp:6792`) can be reached from other hosts and there is no secret.

    `what` is the key to name. A kind of endpoint that we do not know counts as reachable.
    """
    if secret or _stays_here([part.replace("\\", "") for part in _COLON.split(description)]):
        return
    raise ConfigError(
        f"{what}: {description} can be reached from other hosts,"
        " expected internal.secret to be set, or interface=127.0.0.1 or a unix: endpoint"
    )


def _stays_here(parts: list[str]) -> bool:
    kind = parts[0].lower()
    if kind == "haproxy":  # a wrapper of another endpoint
        return _stays_here(parts[1:]) if len(parts) > 1 else False
    if kind == "unix":
        return True
    interfaces = [part.removeprefix("interface=") for part in parts if part.startswith("interface=")]
    return kind in _OWN_ADDRESS and bool(interfaces) and all(map(is_loopback, interfaces))
