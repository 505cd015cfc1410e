"""E-mail, by a server that takes it for others.

Guarantee: a message is delivered once the server took it for at least one of the recipients; the rest is the mail's to
keep. A message that is sent again, because the answer was lost, bears the same `Message-ID`. All steps of a delivery
go into one message, so that a storm of events is no storm of mail, and those of one event follow on each other.
Steps that nobody is to be told of count as delivered.

With `security` "starttls" or "tls" the server's certificate and name are verified, and nothing is sent without TLS.
"""

from __future__ import annotations

import hashlib
import logging
import smtplib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Literal

from aez.codec.errors import InvalidArgument
from aez.daemon.common import tls
from aez.daemon.common.addresses import host_fault
from aez.daemon.common.options import about
from aez.daemon.common.records import EventRecord
from aez.daemon.common.shared_options import Login, Timeout, Trust
from aez.daemon.sinks.base import Rejected, Sink, SinkError
from aez.daemon.sinks.console import as_text
from aez.daemon.sinks.told import Wording, filled, printable, template_fault, wanted
from aez.daemon.sinks.whole import shut, within

__all__ = ["EmailOptions", "EmailSink"]

_log = logging.getLogger(__name__)

_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _address_fault(address: str) -> str:
    _, found = parseaddr(address)
    local, _, domain = found.rpartition("@")
    if not local or not domain or not address.isascii() or not address.isprintable() or host_fault(domain):
        return f"{address!r} is no address of e-mail, such as plant@example.org or Plant <plant@example.org>"
    return ""


@dataclass(frozen=True, kw_only=True)
class EmailOptions(Timeout, Login, Trust, Wording):
    """`kind = "email"`."""

    host: str = field(metadata=about("the server that takes e-mail", check=host_fault))
    port: int | None = field(
        default=None, metadata=about("its port; 587, 465 with tls, 25 without security", low=1, high=65_535)
    )
    security: Literal["starttls", "tls", "none"] = field(default="starttls", metadata=about("how it is encrypted"))
    sender: str = field(metadata=about("whom it is from", check=_address_fault))
    recipients: Sequence[str] = field(metadata=about("whom it goes to", check=_address_fault))
    subject: str = field(
        default="{severity} {action}: {stream}",
        metadata=about("of the first step; what may stand in it says `text` of a chat", check=template_fault),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.username is None) != (self.password is None):
            given = "password" if self.username is None else "username"
            raise InvalidArgument(f"{given}: a server of e-mail takes username and password together")
        for name in ("username", "password"):
            if not (getattr(self, name) or "").isascii():
                raise InvalidArgument(f"{name}: a server of e-mail takes letters, digits and signs of ASCII alone")
        if self.username is not None and self.security == "none" and self.host not in _LOOPBACK:
            raise InvalidArgument("security: a password is not sent without TLS; use starttls or tls")


class EmailSink(Sink):
    """Sends one message for what is delivered at once; each delivery connects anew."""

    Options = EmailOptions

    def __init__(self, options: EmailOptions) -> None:
        self._sender, self._recipients = options.sender, ", ".join(options.recipients)
        self._subject, self._page, self._updates = options.subject, options.page_url, options.updates
        self._security, self._username, self._password = options.security, options.username, options.password
        self.timeout_seconds = options.timeout_seconds
        self._host, self._port = options.host, options.port or _PORTS[options.security]
        self._name = f"smtp://{self._host}:{self._port}"
        self._tls = tls.client_context(options.tls_ca) if options.security != "none" else None

    def __repr__(self) -> str:
        return f"EmailSink({self._name!r})"

    def deliver(self, records: Sequence[EventRecord]) -> None:
        told = wanted(records, self._updates)
        if told:
            message = self._message(told)
            self._within(lambda server: self._send(server, message))

    def check(self) -> None:
        self._within(lambda server: server.noop())

    def _message(self, records: Sequence[EventRecord]) -> EmailMessage:
        first = records[0]
        subject = filled(self._subject, first, self._page)[:200]
        if len(records) > 1:
            subject += f", and {len(records) - 1} more"
        steps = "\n".join(f"{record.id}.{record.sequence}" for record in records)
        domain = parseaddr(self._sender)[1].rpartition("@")[2]

        def name(text: str) -> str:
            return f"<{hashlib.sha256(printable(text).encode()).hexdigest()[:32]}@{domain}>"

        message = EmailMessage()
        message["From"], message["To"] = self._sender, self._recipients
        message["Subject"] = subject
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Message-ID"] = name(steps)
        message["References"] = name(first.id)  # so that one event is one thread
        message["Auto-Submitted"] = "auto-generated"
        lines = [f"{printable(as_text(one))}\n    event {printable(one.id)}, step {one.sequence}" for one in records]
        page = [f"\n{self._page}"] if self._page else []
        message.set_content("\n".join([*lines, *page]) + "\n")
        return message

    def _send(self, server: smtplib.SMTP, message: EmailMessage) -> None:
        for address in server.send_message(message):  # those that were refused, where others were not
            _log.warning("%s does not take e-mail for %s", self._name, printable(address))

    def _within(self, work: Callable[[smtplib.SMTP], object]) -> None:
        """Connect, sign in and do it within the timeout, all in all. Raises SinkError, Rejected."""
        opened: list[smtplib.SMTP] = []

        def run() -> None:
            with self._connected(opened) as server:
                work(server)

        try:
            within(self.timeout_seconds, run, lambda: shut(opened[0].sock))
        except TimeoutError as error:
            raise SinkError(f"{self._name} did not answer within {self.timeout_seconds:g} s") from error
        except smtplib.SMTPDataError as error:
            if error.smtp_code >= 500:
                raise Rejected(f"{self._name} refuses the message: {_said(error)}") from error
            raise SinkError(f"{self._name} does not take the message now: {_said(error)}") from error
        except smtplib.SMTPAuthenticationError as error:
            raise SinkError(f"{self._name} refuses the login ({error.smtp_code})") from error  # its text may repeat it
        except smtplib.SMTPRecipientsRefused as error:
            refused = ", ".join(map(printable, error.recipients))
            raise SinkError(f"{self._name} takes no e-mail for {refused}") from error
        except smtplib.SMTPNotSupportedError as error:
            raise SinkError(f"{self._name} does not do what is asked for: {error}; see security") from error
        except smtplib.SMTPResponseException as error:
            raise SinkError(f"{self._name} refuses it: {_said(error)}") from error
        except smtplib.SMTPException as error:
            raise SinkError(f"{self._name} broke off: {type(error).__name__}") from error
        except (OSError, ValueError) as error:
            raise SinkError(f"{self._name} cannot be reached: {tls.failure(error)}") from error

    def _connected(self, opened: list[smtplib.SMTP]) -> smtplib.SMTP:
        if self._security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(timeout=self.timeout_seconds, context=self._tls)
        else:
            server = smtplib.SMTP(timeout=self.timeout_seconds)
        server._host = self._host  # type: ignore[attr-defined] # what TLS verifies, where connecting is a step of its own
        opened.append(server)
        try:
            server.connect(self._host, self._port)
            if self._security == "starttls":
                server.starttls(context=self._tls)
            if self._username is not None and self._password is not None:
                server.login(self._username, str(self._password))
        except BaseException:
            server.close()
            raise
        return server


def _said(error: smtplib.SMTPResponseException) -> str:
    text = error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
    return printable(f"{error.smtp_code} {text}")[:200]
