"""Families of networks that learn what is normal, one a file, all held to one contract (`base.Family`).

`windows` are those that see windows of rows, `pictures` those made for pictures; `registry` knows them by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aez.codec.common.face import lazily

if TYPE_CHECKING:
    from aez.export.families.base import Family
    from aez.export.families.registry import NAMES, build, family_class

__all__ = ["NAMES", "Family", "build", "family_class"]

__getattr__ = lazily(
    __name__,
    {"aez.export.families.base": "Family", "aez.export.families.registry": "NAMES build family_class"},
)
