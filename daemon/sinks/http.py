"""One POST over HTTP or HTTPS, for the sinks that speak it.

Certificates and host names are verified. Redirects are not followed, and no proxy is used. What an error tells names
the host alone: paths and queries of such addresses often are secrets.
"""

from __future__ import annotations

import http.client
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aez.codec.errors import InvalidArgument
from aez.daemon.common import tls
from aez.daemon.common.options import about, secret
from aez.daemon.common.shared_options import Timeout, Trust
from aez.daemon.sinks.base import Rejected, SinkError

__all__ = ["Endpoint", "EndpointOptions"]

_ANSWER_BYTES = 4096
#: The receiver says that the content is wrong, so that the same again is no use. Everything else may be put right over
#: there: a token renewed, a path made, a limit lifted.
_REFUSALS = (400, 413, 415, 422)


@dataclass(frozen=True, kw_only=True)
class EndpointOptions(Timeout, Trust):
    """Where to post to and how to get in."""

    url: str = field(metadata=about("where to POST: http:// or https://, without a user in it"))
    token: str | None = field(default=None, repr=False, metadata=secret("the bearer token"))


class Endpoint:
    """An address to post to. username, password: for `Authorization: Basic`, in place of a token."""

    def __init__(self, options: EndpointOptions, username: str | None = None, password: str | None = None) -> None:
        url, token = options.url, options.token
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise InvalidArgument("the url of a sink cannot be read; it looks like https://host/path") from None
        if parts.scheme not in ("http", "https") or not host:
            raise InvalidArgument("the url of a sink begins with http:// or https:// and names a host")
        if parts.username is not None or parts.password is not None:
            raise InvalidArgument(f"the url of the sink at {host} holds a user; give username and password instead")
        if token is not None and username is not None:
            raise InvalidArgument(f"the sink at {host} takes a token or a username, not both")
        if (username is None) != (password is None):
            raise InvalidArgument(f"the sink at {host} needs username and password together")
        for name, value in (("token", token), ("url", url)):
            if value is not None and (not value.isascii() or not value.isprintable() or " " in value):
                raise InvalidArgument(f"the {name} of the sink at {host} holds characters that HTTP does not take")
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
        try:
            connection.request("POST", (self._base + path or "/") + self._query, body, everything)
            answer = connection.getresponse()
            answer.read(_ANSWER_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise self._failed(error) from error
        finally:
            connection.close()
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
        try:
            connection.connect()
        except (OSError, http.client.HTTPException) as error:
            raise self._failed(error) from error
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls is not None:
            return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=self._tls)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)

    def _failed(self, error: Exception) -> SinkError:
        if isinstance(error, ssl.SSLCertVerificationError):
            return SinkError(f"the certificate of {self.name} is not trusted: {error.verify_message}; see tls_ca")
        if isinstance(error, TimeoutError):
            return SinkError(f"{self.name} did not answer within {self._timeout:g} s")
        detail = getattr(error, "strerror", None) or type(error).__name__
        return SinkError(f"{self.name} cannot be reached: {detail}")
