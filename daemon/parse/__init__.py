"""Parsers: bytes of a chunk in, rows of numbers and malformed messages out.

Guarantee: a message becomes one row or one Malformed (by its count), never both, and none harms another; only what is
idle (blank lines, comments) and an Arrow stream behind its first damaged byte give nothing. Times and values do not
depend on which messages stand beside them. Memory is bounded by a small multiple of the chunk.
"""
