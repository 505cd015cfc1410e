"""The packages: aez, and the folders codec, daemon and export, which install under it (pyproject.toml has the rest).

The links aez/codec, aez/daemon and aez/export show tools one package in the sources; nothing here needs them.
"""

from setuptools import find_packages, setup

FOLDERS = {"aez": "aez", "aez.codec": "codec", "aez.daemon": "daemon", "aez.export": "export"}
LINKS = ["codec*", "daemon*", "export*"]

setup(
    package_dir=FOLDERS,
    packages=[
        f"{package}.{room}" if room else package
        for package, folder in FOLDERS.items()
        for room in ["", *find_packages(folder, exclude=LINKS if package == "aez" else [])]
    ],
)
