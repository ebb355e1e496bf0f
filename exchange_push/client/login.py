"""A client's login: whether there is one, and what is to be done about it."""

from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from exchange_push.client.pauses import back_off
from exchange_push.client.updates import LoggedIn, LoginFailed
from exchange_push.errors import ClientCode

_RETRY_MS: Final = 1_000
_RETRY_MOST_MS: Final = 30_000


class _State(Enum):
    NOBODY = auto()  # there is no token, and never was
    WANTED = auto()
    FETCHING = auto()
    GIVEN = auto()
    ASKED = auto()
    IN = auto()
    OUT = auto()  # until somebody says so, or the next connection


class Login:
    """`wanted`: there is a token. `renews`: asked again there may be another. `random` gives [0, 1)."""

    def __init__(self, random: Callable[[], float], *, wanted: bool, renews: bool) -> None:
        self._random = random
        self._renews = renews
        self._state = _State.WANTED if wanted else _State.NOBODY
        self._at_ms = 0.0
        self._tries = 0
        self._token = ""
        # Of this connection:
        self._refused = 0
        self._stands = False
        self._again = False  # one login took the place of another, which the server is about to tell

    @property
    def allows_private(self) -> bool:
        """Whether private channels may be asked for. Without a token the server may know better than we."""
        return self._state in (_State.NOBODY, _State.IN)

    @property
    def expected(self) -> bool:
        """Is there a token?"""
        return self._state is not _State.NOBODY

    def want(self, *, renews: bool) -> None:
        """There is a token, perhaps another."""
        self._renews = renews
        self._want()

    def _want(self) -> None:
        self._state, self._at_ms = _State.WANTED, 0

    def closed(self) -> None:
        """The connection is gone, and the login with it."""
        self._tries = self._refused = 0
        self._stands = self._again = False
        if self.expected:
            self._want()

    def wants_token(self, now_ms: float) -> bool:
        """Whether one is to be fetched now; `given` or `missing` follows, soon or later."""
        if self._state is not _State.WANTED or now_ms < self._at_ms:
            return False
        self._state = _State.FETCHING
        return True

    def given(self, token: str) -> None:
        if self._state is _State.FETCHING:
            self._state, self._token = _State.GIVEN, token

    def missing(self, reason: str, now_ms: float) -> list[LoginFailed]:
        if self._state is not _State.FETCHING:
            return []
        self._later(now_ms)
        return [LoginFailed(None, reason, again=True)]

    def _later(self, now_ms: float) -> None:
        self._tries += 1
        self._state = _State.WANTED
        self._at_ms = now_ms + back_off(self._tries, self._random, _RETRY_MS, _RETRY_MOST_MS)

    def take_token(self) -> str | None:
        """The token to log in with now; None: there is none to send."""
        if self._state is not _State.GIVEN:
            return None
        self._state = _State.ASKED
        return self._token

    def answered(self, code: int | None, msg: str, now_ms: float) -> LoggedIn | LoginFailed | None:
        """The server answered, None: with success. Gives None where another login is on its way."""
        if self._state is not _State.ASKED:
            return None
        if code is None:
            self._state, self._tries, self._refused = _State.IN, 0, 0
            self._again, self._stands = self._stands, True
            return LoggedIn()
        if code in (ClientCode.LOGIN_UNAVAILABLE, ClientCode.TOO_MANY_REQUESTS):
            self._later(now_ms)
        elif code == ClientCode.LOGIN_REFUSED and self._renews and not self._refused:
            # The token may have just run out. Not a third time: that would close the connection.
            self._refused += 1
            self._want()
        else:  # an earlier login stands
            self._state = _State.IN if self._stands else _State.OUT
        return LoginFailed(code, msg, again=self._state is _State.WANTED)

    def lost(self) -> None:
        """The server says that nobody is logged in, and why is not known yet."""
        if self._state is _State.IN:
            self._state = _State.OUT

    def ended(self, reason: str) -> bool:
        """The server told that the login ended. Whether the private subscriptions went with it."""
        if reason == "replaced" and self._again:
            self._again = False  # by ourselves, just now: what was asked for since is the new one's
            return False
        self._stands = False
        if self._state in (_State.IN, _State.OUT):
            # Who was logged out on purpose stays out.
            if reason == "expired":
                self._want()
            else:
                self._state = _State.OUT
        return self.expected
