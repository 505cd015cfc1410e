"""A webhook: records as signed HTTP posts, in the form of the Standard Webhooks specification.

Guarantee: a record is delivered once the receiver answered 2xx; until then it is posted again, so that the receiver may
get it twice and tells by `id` and `sequence`. The body is `{"events": [...]}` with up to `batch` records in order.

Headers: `webhook-id` (the same for each attempt at one body), `webhook-timestamp` (seconds since 1970, of this attempt)
and, with a secret, `webhook-signature`: "v1," and the base64 of the HMAC-SHA256 of "id.timestamp.body". A receiver
recomputes it (`verify` does), and refuses timestamps more than a few minutes off, so that nobody can replay one.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aez.codec.errors import InvalidArgument
from aez.daemon.common.options import about
from aez.daemon.common.options import secret as secret_option
from aez.daemon.common.records import EventRecord
from aez.daemon.sinks.base import Sink
from aez.daemon.sinks.http import Endpoint, EndpointOptions
from aez.daemon.sinks.wire import as_json

__all__ = ["WebhookOptions", "WebhookSink", "sign", "verify"]

_MOST = 100  # steps in a delivery
_OWN_HEADERS = ("authorization", "content-length", "content-type", "host", "user-agent")


def _headers_fault(headers: Mapping[str, str]) -> str:
    for name, value in headers.items():
        if name.lower() in _OWN_HEADERS or name.lower().startswith("webhook-"):
            return f"the header {name} of a webhook is set by the sink; leave it out"
        if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            return f"a webhook header cannot be named {name!r}"
        if not value.isascii() or not value.isprintable():
            return f"the header {name} of a webhook holds characters that HTTP does not take"
    return ""


def _secret_fault(secret: str) -> str:
    try:
        _key(secret)
    except InvalidArgument as error:
        return str(error)
    return ""


@dataclass(frozen=True, kw_only=True)
class WebhookOptions(EndpointOptions):
    """`kind = "webhook"`."""

    secret: str | None = field(
        default=None,
        repr=False,
        metadata=secret_option(
            "the key of the HMAC signature; base64 behind whsec_, any other as it stands", check=_secret_fault
        ),
    )
    headers: Mapping[str, str] = field(
        default_factory=dict, repr=False, metadata=about("further headers", check=_headers_fault)
    )
    curves: bool = field(default=False, metadata=about("whether each step comes with the event's rows, as curve"))
    batch: int = field(default=100, metadata=about("steps of events in a request at most", low=1, high=10_000))


class WebhookSink(Sink):
    """Posts to a url; without a secret there is no signature."""

    Options = WebhookOptions

    def __init__(self, options: WebhookOptions) -> None:
        self.timeout_seconds = options.timeout_seconds * -(-_MOST // options.batch)  # of all requests of a delivery
        self._endpoint = Endpoint(options)
        self._key = None if options.secret is None else _key(options.secret)
        self._batch = options.batch
        self.curves = options.curves
        self._headers = dict(options.headers)

    def __repr__(self) -> str:
        return f"WebhookSink({self._endpoint.name!r})"

    def deliver(self, records: Sequence[EventRecord]) -> None:
        for start in range(0, len(records), self._batch):
            part = records[start : start + self._batch]
            body = ('{"events":[' + ",".join(map(as_json, part)) + "]}").encode()
            steps = "\n".join(f"{record.id}.{record.sequence}" for record in part)
            headers = sign(
                body, "msg_" + hashlib.sha256(steps.encode("utf-8", "backslashreplace")).hexdigest()[:32], self._key
            )
            self._endpoint.post(body, self._headers | headers)

    def check(self) -> None:
        self._endpoint.connect()


def sign(body: bytes, message: str, key: bytes | None, now: float | None = None) -> dict[str, str]:
    """The headers for a body; `now` is in seconds since 1970."""
    stamp = str(int(time.time() if now is None else now))
    headers = {"webhook-id": message, "webhook-timestamp": stamp}
    if key is not None:
        headers["webhook-signature"] = "v1," + _digest(body, message, stamp, key)
    return headers


def verify(
    body: bytes, headers: Mapping[str, str], secret: str, tolerance: float = 300.0, now: float | None = None
) -> bool:
    """For receivers: whether a post is signed with `secret` and no more than `tolerance` seconds old, or ahead."""
    found = {name.lower(): value for name, value in headers.items()}
    message, stamp = found.get("webhook-id", ""), found.get("webhook-timestamp", "")
    if not stamp.isascii() or not stamp.isdigit():
        return False
    if abs((time.time() if now is None else now) - int(stamp)) > tolerance:
        return False
    wanted = _digest(body, message, stamp, _key(secret))
    given = [one.removeprefix("v1,") for one in found.get("webhook-signature", "").split() if one.startswith("v1,")]
    return any(hmac.compare_digest(wanted.encode(), one.encode()) for one in given)


def _digest(body: bytes, message: str, stamp: str, key: bytes) -> str:
    return b64encode(hmac.digest(key, f"{message}.{stamp}.".encode() + body, "sha256")).decode()


def _key(secret: str) -> bytes:
    if not secret:
        raise InvalidArgument("the secret of a webhook is empty; leave it out for no signature")
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidArgument('the secret of a webhook begins with "whsec_" and goes on with no base64') from None
