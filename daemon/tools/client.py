"""Asks a monitor that runs: its streams, its figures, and that it takes its configuration anew.

It is asked where it listens, which it says beside its state: a configuration that is to be taken may name another port.
No proxy is used, and no redirect followed, so that the token goes to the one address alone. Where the configuration's
own address speaks TLS, only whoever holds the key of its certificate is believed.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from aez.codec.errors import AezError, InvalidArgument
from aez.daemon.common import tls
from aez.daemon.config.reader import Configuration
from aez.daemon.state.held import holder

__all__ = ["MonitorClient", "NoMonitor", "Refused"]

_ANSWER_MAX = 256 << 20
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


class NoMonitor(AezError):
    """Nobody answers, or somebody that is no monitor."""


class Refused(AezError):
    """The monitor answered that it will not; `answer` is the JSON that came with it."""

    def __init__(self, text: str, status: int, answer: Any) -> None:
        super().__init__(text)
        self.status, self.answer = status, answer


class MonitorClient:
    """One monitor.

    url: where its page is, such as https://host:9464, in place of the page of the monitor that runs with the
        configuration's state, or else of the address that the configuration names. A certificate must be of that name,
        and known to the system or that of the configuration.
    timeout: seconds for each step of an answer.

    Raises InvalidArgument where the configuration tells no address, or the url is none.
    """

    def __init__(self, config: Configuration, url: str | None = None, timeout: float = 30.0) -> None:
        web = config.web
        certificate = web.tls_certificate
        self._context: ssl.SSLContext | None = None
        self._token: str | None = web.token
        self._timeout = timeout
        if url is not None:
            self._host, self._port, secure = _parts(url)
            if secure:
                self._context = tls.client_context(None)
                if certificate:
                    self._context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
                    self._context.load_verify_locations(certificate)
        else:
            host, self._port, secure = _listens(config)
            self._host = _EVERYWHERE.get(host, host)
            if secure:
                self._context = tls.pinned_context(certificate) if certificate else tls.client_context(None)
        shown = f"[{self._host}]" if ":" in self._host else self._host
        self.address = f"{'http' if self._context is None else 'https'}://{shown}:{self._port}"

    def get(self, path: str) -> str:
        """The text at a path. Raises NoMonitor, Refused."""
        return self._ask("GET", path).decode("utf-8", "replace")

    def get_json(self, path: str) -> dict[str, Any]:
        """The JSON object at a path. Raises NoMonitor, Refused."""
        return self._parsed(self._ask("GET", path))

    def problems(self) -> list[str]:
        """What is missing for the job, a sentence each. Raises NoMonitor, Refused."""
        found = self._parsed(self._ask("GET", "/readyz", also=503))
        return [str(one) for one in found.get("problems", [])]

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The JSON answer to a request that changes something. Raises NoMonitor, Refused."""
        return self._parsed(self._ask("POST", path, data=json.dumps(body).encode() if body else b""))

    def _parsed(self, body: bytes) -> dict[str, Any]:
        try:
            found = json.loads(body)
            if not isinstance(found, dict):
                raise TypeError(type(found))
            return found
        except (ValueError, TypeError) as error:
            raise NoMonitor(f"what answers at {self.address} is no aez monitor; look at web.port") from error

    def _ask(self, method: str, path: str, also: int = 200, data: bytes | None = None) -> bytes:
        connection = self._connection()
        headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}".encode()}
        try:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            body = answer.read(_ANSWER_MAX)
        except (OSError, http.client.HTTPException) as error:
            raise NoMonitor(f"no monitor answers at {self.address}: {tls.failure(error)}; does it run?") from error
        finally:
            connection.close()
        if answer.status in (200, also):
            return body
        try:
            found = json.loads(body)
            text = str(found["error"])
        except (ValueError, KeyError, TypeError):
            raise NoMonitor(
                f"what answers at {self.address} is no aez monitor: {answer.status} at {path.partition('?')[0]}"
            ) from None
        if answer.status == 401:
            text = "it wants another token; give the one of its configuration with web.token_env or web.token_file"
        raise Refused(text, answer.status, found)

    def _connection(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=self._context)


def _listens(config: Configuration) -> tuple[str, int, bool]:
    """Host, port, and whether it speaks TLS. Raises InvalidArgument where there is no address."""
    said = holder(config.resolve(config.state.path))
    match said:
        case {"host": str(host), "port": int(port), "tls": bool(secure)}:
            return host, port, secure
    if not config.web.enabled or not config.web.port:
        raise InvalidArgument(f"{config.label}: web has no fixed port, so that no monitor can be asked")
    return config.web.host, config.web.port, bool(config.web.tls_certificate)


def _parts(url: str) -> tuple[str, int, bool]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if host is None or parts.scheme not in ("http", "https") or parts.username is not None:
        raise InvalidArgument(f"{url[:200]!r} is no address of a monitor; it looks like http://host:9464")
    return host, port or (443 if parts.scheme == "https" else 80), parts.scheme == "https"
