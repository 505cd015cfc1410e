"""What goes into an exported graph and comes out of it, and the base of the modules behind one."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from torch import nn

Network = TypeVar("Network", bound=nn.Module)


class Port(NamedTuple):
    """An input or output of a graph: axes after the batch, unit and range of its values."""

    axes: tuple[int | str, ...]
    unit: str
    range: str


class Sides(NamedTuple):
    """Inputs and outputs of a graph by name, and whether decoding needs it.

    Heights and widths of its inputs are multiples of `multiple`.
    """

    inputs: dict[str, Port]
    outputs: dict[str, Port]
    decodes: bool = True
    multiple: int = 1


LEVEL = Port((), "quality level", "0..2048")
IMAGE = Port((3, "height", "width"), "RGB", "0..1")


class Part(nn.Module, Generic[Network]):
    """A view of the network that owns all of its parameters, so that their names stay what they are."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
