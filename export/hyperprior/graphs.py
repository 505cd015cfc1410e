"""Cutting a trained network with a hyperprior into the ONNX graphs of a bundle, and checking them against torch.

Every graph takes dynamic batch, height and width and holds standard operators only. Initializers keep the names of
the network's parameters, so that `network_from_bundle` can go on training from a bundle.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import cast

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn

from aez.codec.bundle.session import open_session
from aez.codec.common.progress import progress_bar
from aez.codec.entropy.quality import LEVEL_MAX
from aez.export.common.to_onnx import LARGE, STORED, serialize, store_compactly, tidy, to_onnx
from aez.export.hyperprior.integer import (
    ACC_ONE,
    ACT_MAX,
    INDEX_SHIFT,
    INDEX_UNIT,
    SCALES,
    WEIGHT_ONE,
    Z_LIMIT,
    Z_SHIFT,
    Z_ZERO,
    ExactConv,
    ExactScale,
    ExactScaleContext,
    ExactScaleStart,
)
from aez.export.hyperprior.network import CELL, PHASES, HyperConfig, HyperpriorNetwork, phase_offset
from aez.export.hyperprior.ports import LEVEL, Part, Port, Sides

#: Bits of a stored weight's mantissa. With seven `photo-fast` loses 0.01 dB at quality 100, and nothing at 75.
MANTISSA = 7
#: Largest difference between torch and ONNX Runtime that the check accepts, relative to the output's range.
TOLERANCE = 1e-3


class MeanStartGraph(Part[HyperpriorNetwork]):
    """z, level -> mean of phase 0, state."""

    def forward(self, z: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        n = self.network
        mean, state = n.mean.start(z / n.hyper_gain(level), level)
        return mean * n.gain(level), state


class MeanContextGraph(Part[HyperpriorNetwork]):
    """state, residuals of the phases before (joined in order), level -> mean of a later phase, state."""

    def __init__(self, network: HyperpriorNetwork, number: int) -> None:
        super().__init__(network)
        self.number = number

    def forward(self, state: Tensor, residual: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        gain = self.network.gain(level)
        seen = residual / gain.repeat(1, phase_offset(self.number), 1, 1)
        mean, state = self.network.mean.go_on(self.number, state, seen, residual.abs(), level)
        return mean * gain.repeat(1, len(PHASES[self.number]), 1, 1), state


def signatures(config: HyperConfig) -> dict[str, Sides]:
    """graph -> inputs and outputs: the transforms of the family, and of `mean` and `scale` one graph per phase."""
    channels = config.channels

    def cells(channels: int, unit: str, numbers: str, stride: int = CELL) -> Port:
        return Port((channels, f"height/{stride}", f"width/{stride}"), unit, numbers)

    z = cells(config.hyper_channels, "symbols", "integer", config.hyper_stride)
    y = Port((channels, "height/8", "width/8"), "quantization steps", "real")
    found = config.transforms(y, z)
    for number, phase in enumerate(PHASES):
        mean = cells(len(phase) * channels, "quantization steps", "real")
        index = cells(len(phase) * channels, "table number", "integer 0..63")
        residual = cells(phase_offset(number) * channels, "symbols", "integer")
        real, exact = (cells(config.hyper_width, "state", numbers) for numbers in ("real", "integer 0..255"))
        for name, port, state in (("mean", mean, real), ("scale", index, exact)):
            inputs = {"z": z} if number == 0 else {"state": state, "residual": residual}
            outputs = {"mean" if name == "mean" else "index": port, "next_state": state}
            found[f"{name}{number}"] = Sides({**inputs, "level": LEVEL}, outputs)
    return found


def graph_parts(network: HyperpriorNetwork) -> dict[str, nn.Module]:
    """The modules behind the graphs, by name. Raises ValueError when the scale path is not provably exact."""
    parts: dict[str, nn.Module] = {"mean0": MeanStartGraph(network), "scale0": ExactScaleStart(network.scale)}
    for number in range(1, len(PHASES)):
        parts[f"mean{number}"] = MeanContextGraph(network, number)
        parts[f"scale{number}"] = ExactScaleContext(network.scale, number)
    return parts | network.transform_parts()


def describe_graphs(sides_by_name: Mapping[str, Sides]) -> dict[str, object]:
    """The manifest's `graphs` entry."""

    def side(ports: dict[str, Port]) -> list[dict[str, object]]:
        return [
            {
                "name": name,
                "shape": ["batch", *port.axes],
                "dtype": "float32",
                "unit": port.unit,
                "range": port.range,
            }
            for name, port in ports.items()
        ]

    return {
        name: {"inputs": side(sides.inputs), "outputs": side(sides.outputs)} for name, sides in sides_by_name.items()
    }


@torch.no_grad()
def round_stored_weights(network: HyperpriorNetwork) -> None:
    """Round in place what bundles store as float16, so that tables and checks see the network that users get.

    All but `MANTISSA` bits of the ten are zeros, which compress: a fifth of what travels. The scale path's integers are
    stored exactly, and gains, which scale the latent itself, with all ten bits. Raises ValueError for a
    weight outside float16's range.
    """
    for name, parameter in network.named_parameters():
        if parameter.numel() >= LARGE and not name.startswith("scale."):
            rounded = parameter.half().float() if name.startswith("log_") else round_mantissa(parameter)
            if not bool(torch.isfinite(rounded).all()):
                raise ValueError(f"a weight of {name} is outside the range of float16")
            parameter.copy_(rounded)


def round_mantissa(weights: Tensor) -> Tensor:
    """Weights with `MANTISSA` bits, which float16 holds; infinite beyond its range."""
    mantissa, exponent = torch.frexp(weights)
    steps = 2.0 ** (MANTISSA + 1)
    return torch.ldexp(torch.round(mantissa * steps) / steps, exponent).half().float()


def export_graphs(network: HyperpriorNetwork) -> dict[str, bytes]:
    """ONNX bytes of the graphs, checked against torch.

    Raises ValueError when the scale path is not provably exact, or a graph does not compute what torch does.
    """
    network = network.eval().to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    parts = graph_parts(network)
    with progress_bar(iterable=parts.items(), desc="writing the model", unit="graph") as bar:
        graphs = {name: _export(name, part, network.config) for name, part in bar}
    for name, part in parts.items():
        check_graph(name, part, graphs[name], network.config)
    return graphs


def export_fitted(name: str, part: nn.Module, sides: Sides, config: HyperConfig) -> bytes:
    """ONNX bytes of a graph beside those of training, checked against torch. Raises ValueError."""
    part = part.eval()
    graph = _export(name, part, config, sides)
    check_graph(name, part, graph, config, _example_cases(name, config, sides))
    return graph


def example_inputs(
    name: str,
    config: HyperConfig,
    batch: int = 2,
    height: int = 64,
    width: int = 96,
    seed: int = 0,
    sides: Sides | None = None,
) -> dict[str, Tensor]:
    """Random inputs of a graph with the statistics of real ones, for pictures of height x width pixels."""
    g = torch.Generator().manual_seed(seed)
    level = torch.randint(0, LEVEL_MAX + 1, (batch,), generator=g).float()
    inputs: dict[str, Tensor] = {}
    for key, port in (sides or signatures(config)[name]).inputs.items():
        if key == "level":
            inputs[key] = level
        elif key == "image":
            coarse = torch.rand(batch, 3, height // 8, width // 8, generator=g)
            inputs[key] = nn.functional.interpolate(coarse, (height, width), mode="bilinear")
        else:
            stride = int(str(port.axes[1]).removeprefix("height/"))
            values = torch.randn(batch, cast(int, port.axes[0]), height // stride, width // stride, generator=g)
            if key in ("z", "residual"):
                values = torch.round(3 * values)
            elif port.range != "real":
                values = torch.round(64 * values).clamp(0, ACT_MAX)
            inputs[key] = values
    return inputs


def _export(name: str, part: nn.Module, config: HyperConfig, sides: Sides | None = None) -> bytes:
    inputs, outputs, _, unit = sides or signatures(config)[name]
    example = example_inputs(name, config, sides=sides)
    batch = torch.export.Dim("batch", min=1, max=4096)
    rows, columns = torch.export.Dim("rows", min=1, max=65536), torch.export.Dim("columns", min=1, max=65536)
    shapes = {key: {0: batch} if key == "level" else {0: batch, 2: unit * rows, 3: unit * columns} for key in inputs}
    model = to_onnx(part, example, list(outputs), [shapes[key] for key in example])
    tidy(model, name)
    store_compactly(model, onnx.TensorProto.INT8 if is_exact(name) else onnx.TensorProto.FLOAT16)
    return serialize(model)


def is_exact(name: str) -> bool:
    """Whether a graph is one of the scale path, which is evaluated in integers."""
    return name.startswith("scale")


def check_graph(
    name: str, part: nn.Module, graph: bytes, config: HyperConfig, cases: Iterable[Mapping[str, Tensor]] | None = None
) -> float:
    """Largest difference between torch and ONNX Runtime relative to the range, on `cases` or on random inputs.

    Raises ValueError above `TOLERANCE`; the exact graphs must agree to the last bit, and with int64 arithmetic.
    """
    session = open_session(graph, "cpu", threads=1)
    worst = 0.0
    for case in cases if cases is not None else _example_cases(name, config):
        with torch.no_grad():
            result = part(*case.values())
        expected = result if isinstance(result, tuple) else (result,)
        actual = session.run({key: value.numpy() for key, value in case.items()})
        for (key, found), wanted in zip(actual.items(), expected, strict=True):
            worst = max(worst, _difference(found, wanted.numpy(), rounded=key == "z"))
        if isinstance(part, ExactScale):
            integers = exact_scale(part, {key: value.numpy() for key, value in case.items()})
            if not all(np.array_equal(integers[key], actual[key]) for key in actual):
                raise ValueError(f"{name} graph: ONNX Runtime and integer arithmetic disagree")
    if worst > (0 if is_exact(name) else TOLERANCE):
        raise ValueError(f"{name} graph: torch and ONNX Runtime differ by {worst:.2g} of the range")
    return worst


def _example_cases(name: str, config: HyperConfig, sides: Sides | None = None) -> list[dict[str, Tensor]]:
    unit = config.alignment
    sizes = [(1, 1, 1), (2, 4, 6), (3, 3, 1), (1, 8, 7)]
    return [
        example_inputs(name, config, batch, rows * unit, columns * unit, seed, sides)
        for seed, (batch, rows, columns) in enumerate(sizes)
    ]


def _difference(found: npt.NDArray[np.float32], wanted: npt.NDArray[np.float32], rounded: bool) -> float:
    """Largest difference relative to the range (at least 1)."""
    if found.shape != wanted.shape:
        raise ValueError(f"a graph gives the shape {found.shape} where torch gives {wanted.shape}")
    difference = np.abs(found - wanted)
    if rounded and difference.mean() < TOLERANCE:  # a value at the rounding edge may fall either way
        difference = difference[difference > 1]
    worst = float(difference.max(initial=0)) / max(1.0, float(np.abs(wanted).max()))
    return math.inf if math.isnan(worst) else worst


def exact_scale(part: ExactScale, inputs: Mapping[str, npt.NDArray[np.float32]]) -> dict[str, npt.NDArray[np.int64]]:
    """A scale graph in int64 NumPy, written independently of torch: the meaning of `index` and `next_state`.

    `inputs` hold integers, shaped as `ExactScaleStart` and `ExactScaleContext` say.
    """
    level = inputs["level"].astype(np.int64)

    def rows(table: Tensor) -> npt.NDArray[np.int64]:
        knots = table.numpy().astype(np.int64)
        knot = np.clip(level >> 8, 0, len(knots) - 2)
        fraction = (level - (knot << 8))[:, None]
        mixed: npt.NDArray[np.int64] = (knots[knot] * (256 - fraction) + knots[knot + 1] * fraction) >> 8
        return mixed[:, :, None, None]

    if isinstance(part, ExactScaleStart):
        z = np.clip(inputs["z"].astype(np.int64), -Z_LIMIT, Z_LIMIT)
        state = np.clip((z * rows(cast(Tensor, part.multiplier)) >> Z_SHIFT) + Z_ZERO, 0, ACT_MAX)
        for layer in part.layers:
            state = np.clip(_exact_conv(cast(ExactConv, layer), state) >> 7, 0, ACT_MAX)
        for number, layer in enumerate(part.fine_layers):
            state = np.clip(_exact_conv(cast(ExactConv, layer), state) >> 7, 0, ACT_MAX)
            if number == 0:
                state = _shuffled(state)
    else:
        context = cast(ExactScaleContext, part)
        size = np.abs(inputs["residual"].astype(np.int64))
        size = 48 * np.minimum(size, 3) + 6 * np.minimum(size, 18)
        before = inputs["state"].astype(np.int64)
        hidden = np.clip(_exact_conv(context.enter, np.concatenate((before, size), axis=1)) >> 7, 0, ACT_MAX)
        state = np.clip((_exact_conv(context.mix, hidden) + 128 * before) >> 7, 0, ACT_MAX)
        more = [cast(ExactConv, layer) for layer in context.more]
        for enter, mix in zip(more[::2], more[1::2], strict=True):
            hidden = np.clip(_exact_conv(enter, state) >> 7, 0, ACT_MAX)
            state = np.clip((_exact_conv(mix, hidden) + 128 * state) >> 7, 0, ACT_MAX)
    offset = np.tile(rows(cast(Tensor, part.offset)), (1, part.positions, 1, 1))
    index = np.clip((_exact_conv(part.out, state) + offset) >> INDEX_SHIFT, 0, SCALES - 1)
    return {"index": index, "next_state": state}


def _exact_conv(conv: ExactConv, x: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    weight = cast(Tensor, conv.weight).numpy().astype(np.int64)
    bias: npt.NDArray[np.int64] = cast(Tensor, conv.bias).numpy().astype(np.int64)[:, None, None]
    if conv.groups == 1:
        mixed: npt.NDArray[np.int64] = np.einsum("oi,bihw->bohw", weight[:, :, 0, 0], x) + bias
        return mixed
    height, width = x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge" if conv.replicate else "constant")
    return bias + sum(
        weight[:, 0, dy, dx, None, None] * padded[:, :, dy : dy + height, dx : dx + width]
        for dy in range(3)
        for dx in range(3)
    )


def _shuffled(x: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Pixel shuffle [B, 4 C, h, w] -> [B, C, 2 h, 2 w]."""
    batch, channels, height, width = x.shape
    places = x.reshape(batch, channels // 4, 2, 2, height, width)
    return places.transpose(0, 1, 4, 2, 5, 3).reshape(batch, channels // 4, 2 * height, 2 * width)


def load_weights(network: HyperpriorNetwork, graphs: Mapping[str, bytes], rest: npt.NDArray[np.float32]) -> None:
    """Put a bundle's weights into a network of the same sizes, to go on training.

    `rest` is what `other_weights` gave at export. Raises ValueError when it does not fit.
    """
    state = network.state_dict()
    found = _weights_in(state, graphs)
    missing = sorted(set(state) - set(found))
    if rest.ndim != 1 or rest.size != sum(state[key].numel() for key in missing):
        raise ValueError(f"the graphs lack {len(missing)} of the network's weights, and the rest does not fill them")
    start = 0
    for key in missing:
        end = start + state[key].numel()
        found[key] = torch.tensor(rest[start:end]).reshape(state[key].shape)
        start = end
    network.load_state_dict(found)


def other_weights(network: HyperpriorNetwork, graphs: Mapping[str, bytes]) -> npt.NDArray[np.float32]:
    """What the graphs do not hold under its own name (the density of z; tensors the exporter merged), flat float32."""
    state = network.state_dict()
    missing = sorted(set(state) - set(_weights_in(state, graphs)))
    return torch.cat([state[key].detach().cpu().float().flatten() for key in missing]).numpy()


def _weights_in(state: Mapping[str, Tensor], graphs: Mapping[str, bytes]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, graph in graphs.items():
        for tensor in onnx.load_from_string(graph).graph.initializer:
            stem = tensor.name.removesuffix(STORED)
            value = torch.from_numpy(onnx.numpy_helper.to_array(tensor).astype(np.float32))
            key = stem.removeprefix("network.")
            if is_exact(name):
                key, value = _scale_parameter(int(name.removeprefix("scale")), stem, value)
            if key in state and state[key].shape == value.shape:
                found[key] = value
    return found


def _scale_parameter(number: int, name: str, value: Tensor) -> tuple[str, Tensor]:
    """A tensor of the exact graph of a phase as the training parameter it came from."""
    if name == "offset":
        return "scale.offset", value / INDEX_UNIT
    if name == "multiplier":
        return "scale.log_multiplier", torch.log(value)
    if name.startswith("out."):
        name = f"outs.{number}.{name.removeprefix('out.')}"
    elif name.startswith(("enter.", "mix.", "more.")):
        name = f"contexts.{number - 1}.{name}"
    return f"scale.{name}", value / (WEIGHT_ONE if name.endswith(".weight") else ACC_ONE)
