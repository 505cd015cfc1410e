"""Warnings about certificates of a configuration that end soon."""

from __future__ import annotations

from datetime import UTC, datetime

from aez.daemon.common import tls
from aez.daemon.common.options import Options
from aez.daemon.config.reader import Configuration

_WARNED_DAYS = 14


def certificate_warnings(config: Configuration) -> list[str]:
    """A sentence for each certificate of ours that has ended, or will within two weeks."""
    shown: list[tuple[str, Options]] = [("web", config.web)]
    for kind, entries in (("source", config.sources), ("sink", config.sinks)):
        shown += [(f"{kind} {entry.name}", entry.options) for entry in entries]
    found = []
    for what, options in shown:
        certificate = getattr(options, "tls_certificate", None)
        if certificate:
            end = tls.ends(certificate)
            days = (end - datetime.now(UTC)).total_seconds() / 86_400
            if days < _WARNED_DAYS:
                when = f"ends in {days:.0f} days, on {end:%Y-%m-%d}" if days > 0 else f"ended on {end:%Y-%m-%d}"
                found.append(f"{what}: the certificate {certificate} {when}; renew it, then reload")
    return found
