"""torch's ONNX exporter for tests: a network is traced once in a run, and again with other weights only fills them in.

Tracing is most of an export, seconds even for a small network, and depends on what a network is made of, not on its
weights. What follows, the exporter's optimizer with its folding of constants among it, runs every time.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import onnx
import onnx_ir
import pytest
import torch
from torch import Tensor, nn
from torch.onnx._internal.exporter._registration import ONNXRegistry

from tests.kit.made_once import MadeOnce

_FILE = "traced.onnx"


def trace_once(patch: pytest.MonkeyPatch, made_once: MadeOnce) -> None:
    """Put this in place of `torch.onnx.export` in this process, until the patch is undone."""
    export = torch.onnx.export
    if hasattr(export, "given"):
        return

    def traced_once(module: nn.Module, args: tuple[Tensor, ...], **options: Any) -> torch.onnx.ONNXProgram:
        def trace(folder: Path) -> None:
            program = export(module, args, **options, optimize=False)
            onnx.save(program.model_proto, str(folder / _FILE))

        folder = made_once(f"traced-{_fingerprint(module, args, options)}", trace)
        model = onnx.load(str(folder / _FILE))
        _fill(model, module)
        program = torch.onnx.ONNXProgram(onnx_ir.from_proto(model), None)
        program.optimize()
        return program

    # It registers all operators anew for every graph, which takes longer than some graphs do.
    registry = staticmethod(functools.cache(ONNXRegistry.from_torchlib))
    patch.setattr(ONNXRegistry, "from_torchlib", registry)
    traced_once.given = export  # type: ignore[attr-defined]
    patch.setattr(torch.onnx, "export", traced_once)


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    parameters = module.named_parameters(remove_duplicate=False)
    return {**dict(parameters), **dict(module.named_buffers(remove_duplicate=False))}


def _fill(model: onnx.ModelProto, module: nn.Module) -> None:
    """Give the graph this module's weights."""
    tensors = _tensors(module)
    for initializer in model.graph.initializer:
        if initializer.name in tensors:
            values = tensors[initializer.name].detach().cpu().numpy()
            initializer.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(values), initializer.name))


def _fingerprint(module: nn.Module, args: Sequence[Tensor], options: Mapping[str, Any]) -> str:
    """Of everything that a trace depends on: the modules, their settings, shapes, and tensors that are no weights."""
    digest = hashlib.sha256()
    for line in _lines(module):
        digest.update(line.encode() + b"\n")
    digest.update(repr([(tuple(tensor.shape), str(tensor.dtype)) for tensor in args]).encode())
    digest.update(repr(sorted(options.items())).encode())
    return digest.hexdigest()[:32]


def _lines(module: nn.Module) -> Iterator[str]:
    for name, tensor in _tensors(module).items():
        yield f"{name} {tuple(tensor.shape)} {tensor.dtype}"
    for name, part in module.named_modules():
        yield f"{name} {type(part).__module__}.{type(part).__qualname__}"
        for key, value in sorted(vars(part).items()):
            if key in ("_parameters", "_buffers", "_modules"):
                continue
            yield f"{key} {_told(value)}"


def _told(value: object) -> str:
    """All that a setting says, so that equal texts are equal settings."""
    if isinstance(value, Tensor):
        return _told(value.detach().cpu().numpy())
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()}"
    if dataclasses.is_dataclass(value):
        return f"{type(value)} {[_told(getattr(value, part.name)) for part in dataclasses.fields(value)]}"
    if isinstance(value, Mapping):
        return f"{[(_told(key), _told(one)) for key, one in value.items()]}"
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return f"{type(value)} {[_told(one) for one in value]}"
    told = repr(value)
    # An address says nothing of what lies there: such a network is traced every time.
    return f"{told} {uuid4()}" if " at 0x" in told else told
