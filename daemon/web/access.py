"""Who may ask: the token of programs, and the cookie that a browser gets for it.

Guarantees: nothing is compared in a time that tells how far it fits; the cookie does not hold the token, cannot be made
without it, and ends with its date or with another token; an address that showed wrong tokens again and again is told to
wait. The right token is never told so, for others may stand behind the same address, such as a proxy's.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict, deque
from collections.abc import Callable

__all__ = ["COOKIE_SECONDS", "Gate", "Wait"]

COOKIE_SECONDS = 30 * 86_400
#: So many wrong tokens within so many seconds close the door to an address for as long.
_TRIES, _SECONDS = 10, 60.0
_ADDRESSES = 1024


class Wait(Exception):
    """The address showed too many wrong tokens; `seconds` is how long it has to wait."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"too many wrong tokens came from this address; wait {seconds:.0f} s")
        self.seconds = seconds


class Gate:
    """Knows one token. now: seconds since 1970, for cookies; ticks: seconds of a clock that only rises."""

    def __init__(
        self, token: str, *, now: Callable[[], float] = time.time, ticks: Callable[[], float] = time.monotonic
    ) -> None:
        self._token = token.encode()
        # Slow on purpose: who has a cookie cannot try tokens against it quickly.
        self._key = hashlib.scrypt(self._token, salt=b"aez monitor page", n=1 << 14, r=8, p=1)
        self._now, self._ticks = now, ticks
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()

    def shows(self, token: str, address: str) -> bool:
        """Whether it is the token. Raises Wait for one that is not, where that address has guessed too often."""
        if hmac.compare_digest(token.encode(errors="surrogateescape"), self._token):
            return True
        tries = self._wrong.get(address)
        moment = self._ticks()
        while tries and moment - tries[0] > _SECONDS:
            tries.popleft()
        if tries and len(tries) >= _TRIES:
            raise Wait(max(1.0, _SECONDS - (moment - tries[0])))
        if tries is None:
            tries = self._wrong[address] = deque(maxlen=_TRIES)
            if len(self._wrong) > _ADDRESSES:
                self._wrong.popitem(last=False)
        tries.append(moment)
        return False

    def cookie(self) -> str:
        """A new cookie's value."""
        end = str(int(self._now()) + COOKIE_SECONDS)
        return f"{end}.{self._signature(end)}"

    def knows(self, cookie: str) -> bool:
        """Whether it made this cookie, and it has not ended."""
        end, _, signature = cookie.partition(".")
        right = hmac.compare_digest(signature.encode(errors="surrogateescape"), self._signature(end).encode())
        return right and end.isascii() and end.isdigit() and int(end) > self._now()

    def _signature(self, end: str) -> str:
        return hmac.new(self._key, end.encode(errors="surrogateescape"), hashlib.sha256).hexdigest()
