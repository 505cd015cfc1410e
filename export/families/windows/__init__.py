"""Families of windows [time, channels], one a file; `aez.export.families.registry` names them."""
