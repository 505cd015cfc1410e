"""A NATS client that never goes on without TLS where TLS is asked for.

nats-py takes TLS from what the server says of itself. A server that says nothing, or somebody between who leaves it
out, would get names, passwords and data in the clear.
"""

from __future__ import annotations

from nats.aio.client import Client
from nats.errors import (
    AuthorizationError,
    Error,
    MaxPayloadError,
    NoRespondersError,
    NoServersError,
    StaleConnectionError,
)
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError, ServiceUnavailableError

from aez.daemon.common.tls import failure

__all__ = ["NatsClient", "Unencrypted", "nats_failure"]


class Unencrypted(Error):
    """TLS is asked for, and the server does not offer it."""

    def __str__(self) -> str:
        return "the server offers no TLS, and nothing is sent without; give it a certificate, or take out TLS here"


class NatsClient(Client):
    """As nats-py's; `connect` raises Unencrypted, with nothing sent, where TLS is asked for and not offered."""

    def _connect_command(self) -> bytes:  # the first that is sent
        asked = "tls" in self.options or any(server.uri.scheme == "tls" for server in self._server_pool)
        if asked and not self._server_info.get("tls_required"):
            if self._transport is not None:
                self._transport.close()  # type: ignore[no-untyped-call]
            raise Unencrypted
        command: bytes = super()._connect_command()
        return command


def nats_failure(error: BaseException) -> str:
    """Why something failed: a clause without a full stop, in place of the client's own words for programs."""
    match error:
        case Unencrypted():
            return str(error)
        case NoServersError():
            return "no server can be reached"
        case AuthorizationError():
            return _LOGIN
        case NoRespondersError() | ServiceUnavailableError():
            return "the server has no JetStream, or it is not ready; start it with jetstream enabled"
        case NoStreamResponseError():
            return "no JetStream stream takes the subject"
        case NotFoundError():
            return f"what was asked for is not there: {error.description or 'no JetStream stream, or no consumer'}"
        case APIError():
            return f"the server refuses it: {error.description or f'code {error.code}'}"
        case MaxPayloadError():
            return "the server takes no message of that size"
        case StaleConnectionError():
            return "the server does not answer any more"
        case TimeoutError():
            return "it does not answer in time"
    text = failure(error).removeprefix("nats: ").strip("'\" ")
    return _LOGIN if "authorization" in text.lower() else text or type(error).__name__


_LOGIN = "it refuses the login (authorization failed); see username and password, or token"
