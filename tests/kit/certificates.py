"""Certificates for tests: an authority, what it signs for localhost, and a stranger."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.kit.brokers import find_program

NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1"


@dataclass(frozen=True)
class Signed:
    """A certificate of localhost and its key, PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Signs for localhost; its own certificate is `file`."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder, self._name = folder, name
        self.file, self._key = folder / f"{name}.pem", folder / f"{name}.key"
        subject = ["-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE", "-days", "30"]
        _openssl("req", "-x509", *_NEW, *subject, "-keyout", self._key, "-out", self.file)

    def sign(self, name: str, days: int = 20) -> Signed:
        made = Signed(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request, extension = self._folder / f"{name}.request", self._folder / f"{name}.extension"
        extension.write_text(NAMES)
        _openssl("req", *_NEW, "-subj", "/CN=localhost", "-keyout", made.key, "-out", request)
        signer = ["-CA", self.file, "-CAkey", self._key, "-CAcreateserial", "-days", str(days)]
        _openssl("x509", "-req", "-in", request, *signer, "-extfile", extension, "-out", made.certificate)
        return made


def self_signed(folder: Path, names: str = NAMES) -> tuple[Path, Path]:
    """A certificate of localhost, or of other names, that signed itself, and its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subject = ["-subj", "/CN=aez", "-addext", names, "-days", "2"]
    _openssl("req", "-x509", *_NEW, *subject, "-keyout", key, "-out", certificate)
    return certificate, key


_NEW = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(*arguments: str | Path) -> None:
    subprocess.run([find_program("openssl"), *map(str, arguments)], check=True, capture_output=True)
