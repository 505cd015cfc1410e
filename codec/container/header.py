"""What writer and reader ask of a header, whatever kind of thing the file holds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from aez.codec.container.chunks import CHUNK_NAMES, MODEL
from aez.codec.container.varint import Fields

#: Bytes of a header's payload, at most.
HEADER_MAX = 64


@dataclass(frozen=True)
class ExtraChunk:
    """A chunk that files of one kind may hold, once each; `name` is for people."""

    name: str
    compressed: bool = False


class Header(ABC):
    """What a reader must know before the first tile; one class for each kind of content.

    `kinds` lists the classes by their number. The low four bits of a header's first byte are that number, and the high
    four are the kind's own.
    """

    #: The number of the kind.
    KIND: ClassVar[int]
    #: The chunks of this kind besides those of every file, by letter.
    EXTRAS: ClassVar[Mapping[str, ExtraChunk]] = {}

    @property
    @abstractmethod
    def tiles(self) -> int:
        """Count of tiles, each of which is coded on its own; they are numbered from 0."""

    @property
    def refused(self) -> Collection[str]:
        """The extra chunks that have no place in this very file, by letter."""
        return ()

    @abstractmethod
    def pack(self) -> bytes:
        """Payload of the header chunk."""

    @classmethod
    @abstractmethod
    def unpack(cls, high: int, fields: Fields) -> Self:
        """The header of a payload: the high four bits of its first byte, and the fields behind it.

        Raises VersionError for what a later aez may have given a meaning, ValueError for anything else that is wrong.
        """

    @property
    def names(self) -> Mapping[str, str]:
        """What the chunks of the file are called, by letter."""
        return {**CHUNK_NAMES, **{letter: extra.name for letter, extra in self.EXTRAS.items()}}

    @property
    def once(self) -> Collection[str]:
        """The chunks that occur at most once between header and index, by letter."""
        return (MODEL, *self.EXTRAS)
