"""The errors of aez: one root, and one class for each thing that a caller can act on.

Every message is one sentence that says what is wrong, where, and what to do; it carries the value that was refused.
`exit_code` is what the command line ends with.
"""

from __future__ import annotations


class AezError(Exception):
    """Root of all errors that aez raises on purpose."""

    exit_code: int = 1


class InvalidArgument(AezError, ValueError):
    """The caller asked for something that does not exist or is out of range."""

    exit_code = 2


class CorruptFile(AezError):
    """The bytes of an `.aez` file contradict themselves; `chunk` names the damaged part (empty: the whole file)."""

    exit_code = 3

    def __init__(self, message: str, chunk: str = "") -> None:
        super().__init__(message)
        self.chunk = chunk


class TruncatedFile(CorruptFile):
    """An `.aez` file ends before its end mark."""


class VersionError(AezError):
    """The file is sound, and needs a newer aez than this one."""

    exit_code = 3


class ModelError(AezError):
    """A model bundle is missing, damaged, or not the one that a file needs."""

    exit_code = 4


class UnsupportedInput(AezError):
    """The input is no picture, or one of a kind that aez does not handle."""

    exit_code = 5


class OutputError(AezError):
    """The result cannot be written."""

    exit_code = 6
