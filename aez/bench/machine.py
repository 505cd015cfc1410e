"""What figures depend on besides codecs and pictures: the machine, the versions, the date."""

from __future__ import annotations

import contextlib
import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from PIL import features

_PACKAGES = ("aez", "numpy", "onnxruntime", "constriction", "pillow", "pillow-jxl-plugin")
_LIBRARIES = {"libjpeg_turbo": "libjpeg-turbo", "webp": "libwebp", "avif": "libavif", "jpg_2000": "openjpeg"}


@dataclass(frozen=True)
class Environment:
    """What the figures depend on besides codecs and pictures."""

    cpu: str
    cores: int
    system: str
    versions: dict[str, str]
    date: str  # UTC, ISO 8601


def describe_environment() -> Environment:
    """The environment of this process."""
    return Environment(
        cpu=_cpu_name(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        system=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        versions=_versions(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or "unknown processor"


def _versions() -> dict[str, str]:
    """Versions of the packages that are installed and of the image libraries inside Pillow."""
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    libraries = {library: features.version(feature) for feature, library in _LIBRARIES.items()}
    return versions | {library: version for library, version in libraries.items() if version}
