"""One POST over HTTP or HTTPS, for the sinks that speak it.

Certificates and host names are verified. Redirects are not followed, and no proxy is used. What an error tells names
the host alone: paths and queries of such addresses often are secrets.
"""

from __future__ import annotations

import http.client
import ssl
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from aez.codec.errors import InvalidArgument
from aez.daemon.common import tls
from aez.daemon.common.addresses import url_fault
from aez.daemon.common.options import about, secret
from aez.daemon.common.shared_options import Timeout, Trust
from aez.daemon.sinks.base import Rejected, SinkError
from aez.daemon.sinks.whole import shut, within

__all__ = ["Endpoint", "EndpointOptions"]

T = TypeVar("T")

_ANSWER_BYTES = 4096
#: The receiver says that the content is wrong, so that the same again is no use. Everything else may be put right over
#: there: a token renewed, a path made, a limit lifted.
_REFUSALS = (400, 413, 415, 422)


def _token_fault(token: str) -> str:
    fits = token.isascii() and token.isprintable() and " " not in token
    return "" if fits else "the token holds characters that HTTP does not take"


@dataclass(frozen=True, kw_only=True)
class EndpointOptions(Timeout, Trust):
    """Where to post to and how to get in."""

    url: str = field(metadata=about("where to POST: http:// or https://, without a user in it", check=url_fault))
    token: str | None = field(default=None, repr=False, metadata=secret("the bearer token", check=_token_fault))

    def __post_init__(self) -> None:
        super().__post_init__()
        username, password = getattr(self, "username", None), getattr(self, "password", None)
        if self.token is not None and username is not None:
            raise InvalidArgument("token: a sink takes a token or a username, not both")
        if (username is None) != (password is None):
            given = "password" if username is None else "username"
            raise InvalidArgument(f"{given}: a sink needs username and password together")


class Endpoint:
    """An address to post to. username, password: for `Authorization: Basic`, in place of a token."""

    def __init__(self, options: EndpointOptions, username: str | None = None, password: str | None = None) -> None:
        url, token = options.url, options.token
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        self._host, self._port, self._timeout = host, port, options.timeout_seconds
        self._base = parts.path.rstrip("/")
        self._query = f"?{parts.query}" if parts.query else ""
        self.name = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}"
        self._tls = tls.client_context(options.tls_ca) if parts.scheme == "https" else None
        self._authorization: str | None = None
        if token is not None:
            self._authorization = f"Bearer {token}"
        elif username is not None:
            self._authorization = "Basic " + b64encode(f"{username}:{password}".encode()).decode()

    def __repr__(self) -> str:
        return f"Endpoint({self.name!r})"

    def post(self, body: bytes, headers: Mapping[str, str], path: str = "") -> None:
        """Post to the url with `path` after its own; returns when a 2xx came. Raises SinkError, Rejected."""
        everything = {"Content-Type": "application/json", "User-Agent": "aez", **headers}
        if self._authorization is not None:
            everything["Authorization"] = self._authorization
        connection = self._connection()

        def post() -> http.client.HTTPResponse:
            connection.request("POST", (self._base + path or "/") + self._query, body, everything)
            answer = connection.getresponse()
            answer.read(_ANSWER_BYTES)
            return answer

        answer = self._within(connection, post)
        if 200 <= answer.status < 300:
            return
        message = f"{self.name} answered {answer.status} {http.client.responses.get(answer.status, '')}".rstrip()
        if answer.status in _REFUSALS:
            raise Rejected(f"{message}: it refuses what it was sent")
        if 300 <= answer.status < 400:
            raise SinkError(f"{message}; redirects are not followed, give the address that it leads to")
        raise SinkError(message)

    def connect(self) -> None:
        """Connect, TLS included, and send nothing. Raises SinkError."""
        connection = self._connection()
        self._within(connection, connection.connect)

    def _within(self, connection: http.client.HTTPConnection, work: Callable[[], T]) -> T:
        """Do it within the timeout, all in all, and close the connection. Raises SinkError."""
        try:
            return within(self._timeout, work, lambda: shut(connection.sock))
        except (OSError, http.client.HTTPException) as error:
            raise self._failed(error) from error
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls is not None:
            return _Https(self._host, self._port, timeout=self._timeout, context=self._tls)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)

    def _failed(self, error: Exception) -> SinkError:
        if isinstance(error, ssl.SSLCertVerificationError):
            return SinkError(f"the certificate of {self.name} is not trusted: {error.verify_message}; see tls_ca")
        if isinstance(error, TimeoutError):
            return SinkError(f"{self.name} did not answer within {self._timeout:g} s")
        detail = getattr(error, "strerror", None) or type(error).__name__
        return SinkError(f"{self.name} cannot be reached: {detail}")


class _Https(http.client.HTTPSConnection):
    """Has its socket in `sock` while the handshake goes on, so that it can be cut."""

    def __init__(self, *about: Any, context: ssl.SSLContext, **more: Any) -> None:
        super().__init__(*about, context=context, **more)
        self._tls = context

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
        self.sock.do_handshake()
