"""A certificate for the other sides of sinks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.certificates import self_signed


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Of 127.0.0.1, signed by itself; and its key."""
    return self_signed(tmp_path_factory.mktemp("tls"), "subjectAltName=IP:127.0.0.1")
