"""A NATS client that never goes on without TLS where TLS is asked for.

nats-py takes TLS from what the server says of itself. A server that says nothing, or somebody between who leaves it
out, would get names, passwords and data in the clear.
"""

from __future__ import annotations

from nats.aio.client import Client
from nats.errors import Error

__all__ = ["NatsClient", "Unencrypted"]


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
