"""What figures depend on besides codecs and data: the machine, the versions, the date."""

from __future__ import annotations

import contextlib
import platform
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from PIL import features

from aez.codec.common.cores import available_cores

__all__ = ["Environment", "describe_detection", "describe_environment"]

_PACKAGES = ("aez", "numpy", "onnxruntime", "constriction", "pillow", "pillow-jxl-plugin")
_LIBRARIES = {"libjpeg_turbo": "libjpeg-turbo", "webp": "libwebp", "avif": "libavif", "jpg_2000": "openjpeg"}
_DETECTION_PACKAGES = ("aez", "numpy", "scipy", "torch", "scikit-learn", "pyod", "onnxruntime")
_WIDTH = 116


@dataclass(frozen=True)
class Environment:
    """What the figures depend on besides codecs and data."""

    cpu: str
    cores: int
    system: str
    versions: dict[str, str]
    date: str  # UTC, ISO 8601

    def lines(self, processes: int | None = None) -> list[str]:
        """The machine, how many processes ran where that counts, the date and the versions, as a report tells them."""
        shared = "" if processes is None else f" {processes} processes,"
        machine = f"{self.cpu}, {self.cores} cores,{shared} {self.system}; {self.date}"
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return [machine, *textwrap.wrap(versions, _WIDTH, break_on_hyphens=False)]


def describe_environment() -> Environment:
    """The environment of this process, with the packages and image libraries that codecs depend on."""
    libraries = {library: features.version(feature) for feature, library in _LIBRARIES.items()}
    return _environment(_installed(_PACKAGES) | {name: version for name, version in libraries.items() if version})


def describe_detection() -> Environment:
    """The environment of this process, with the packages that detection depends on."""
    return _environment(_installed(_DETECTION_PACKAGES))


def _environment(versions: dict[str, str]) -> Environment:
    return Environment(
        cpu=_cpu_name(),
        cores=available_cores(),
        system=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        versions=versions,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _cpu_name() -> str:
    """The processor's model, which psutil does not know."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or "unknown processor"


def _installed(packages: Iterable[str]) -> dict[str, str]:
    """Versions of those packages that are installed."""
    versions = {}
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions
