"""Options that several kinds share, so that each has one name, one meaning and one default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from aez.codec.errors import InvalidArgument
from aez.daemon.common.addresses import host_fault, nats_fault
from aez.daemon.common.options import Options, about, secret

__all__ = [
    "ClientTls",
    "FileFormat",
    "LineFormat",
    "Login",
    "MessageFormat",
    "MqttBroker",
    "NatsServers",
    "ServerTls",
    "Timeout",
    "Trust",
]

#: Formats of what has lines; of recorded files, too; of single messages.
LineFormat = Literal["json", "csv", "line"]
FileFormat = Literal["json", "csv", "line", "arrow"]
MessageFormat = Literal["json", "csv", "line", "arrow", "image"]


@dataclass(frozen=True, kw_only=True)
class Login(Options):
    """A name and its password; neither, or both where the other side wants both."""

    username: str | None = field(default=None, metadata=about("who to be"))
    password: str | None = field(default=None, repr=False, metadata=secret("the password"))


@dataclass(frozen=True, kw_only=True)
class Trust(Options):
    """Whom a connection with TLS trusts."""

    tls_ca: str | None = field(
        default=None,
        metadata=about("certificates to trust with TLS, in place of the system's", path=True, was="ca_file"),
    )


@dataclass(frozen=True, kw_only=True)
class ClientTls(Trust):
    """Whom a connection with TLS trusts, and what it shows."""

    tls_certificate: str | None = field(default=None, metadata=about("our own certificate, with TLS", path=True))
    tls_key: str | None = field(default=None, metadata=about("its key", path=True))


@dataclass(frozen=True, kw_only=True)
class ServerTls(Options):
    """What a listener shows; without a certificate it speaks no TLS."""

    tls_certificate: str | None = field(default=None, metadata=about("the certificate, for HTTPS", path=True))
    tls_key: str | None = field(default=None, metadata=about("its key", path=True))


@dataclass(frozen=True, kw_only=True)
class Timeout(Options):
    """How long the other side may take."""

    timeout_seconds: float = field(
        default=10.0,
        metadata=about("a delivery takes no longer than that, all in all", low=0.1, high=600, was="timeout"),
    )


@dataclass(frozen=True, kw_only=True)
class MqttBroker(Login, Trust):
    """A broker. TLS is spoken where `tls` is set or any other option of TLS is given."""

    host: str = field(default="127.0.0.1", metadata=about("the broker", check=host_fault))
    port: int | None = field(default=None, metadata=about("its port; 1883, or 8883 with TLS", low=1, high=65_535))
    tls: bool = field(default=False, metadata=about("encrypt; the other options of TLS turn it on as well"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.password is not None and self.username is None:
            raise InvalidArgument("password: MQTT needs a username with it")

    @property
    def encrypted(self) -> bool:
        """Whether TLS is spoken."""
        return self.tls or self.tls_ca is not None or getattr(self, "tls_certificate", None) is not None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, self.port or (8883 if self.encrypted else 1883)


@dataclass(frozen=True, kw_only=True)
class NatsServers(Login, Trust):
    """The servers of a cluster. TLS is spoken with tls:// or any option of TLS."""

    servers: Sequence[str] = field(
        default=("nats://127.0.0.1:4222",),
        metadata=about(
            "the servers of one cluster, nats:// or tls://",
            was={"url": "a server or a list of them"},
            check=nats_fault,
        ),
    )
    token: str | None = field(default=None, repr=False, metadata=secret("the token, in place of a username"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.token is not None and self.username is not None:
            raise InvalidArgument("token: NATS takes a token or a username, not both")
        if (self.username is None) != (self.password is None):
            given = "password" if self.username is None else "username"
            raise InvalidArgument(f"{given}: NATS needs username and password together")

    @property
    def encrypted(self) -> bool:
        """Whether TLS is spoken."""
        other = self.tls_ca is not None or getattr(self, "tls_certificate", None) is not None
        return other or any(server.startswith("tls:") for server in self.servers)
