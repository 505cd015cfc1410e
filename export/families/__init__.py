"""Families of networks that learn normal windows, one a file, all held to one contract (`base.Family`)."""

from aez.export.families.base import Family
from aez.export.families.registry import NAMES, build, family_class

__all__ = ["NAMES", "Family", "build", "family_class"]
