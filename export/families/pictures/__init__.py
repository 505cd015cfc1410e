"""Families made for pictures, one a file; `aez.export.families.registry` names them."""
