"""What every exported graph shares: the call of torch's exporter, and the tidying of what comes out.

A tidy graph holds standard operators, names and numbers, and nothing of the machine that made it.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

#: Operators as of ONNX 1.13, and the form of files as of then: ONNX Runtime 1.15 loads them.
OPSET, IR_VERSION = 18, 8
#: Weights with at least so many numbers are worth a node that stores them compactly, under their name with this suffix.
LARGE, STORED = 256, "_stored"


def to_onnx(
    module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str], dynamic_shapes: Sequence[dict[int, Any]]
) -> onnx.ModelProto:
    """The module as an ONNX model: example inputs by name, names of the outputs, dynamic axes of each input."""
    with _quiet_exporter():
        program = torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=tuple(dynamic_shapes),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    return model


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """The exporter warns about its own internals; a caller's own warnings and logs stay as they are."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)


def tidy(model: onnx.ModelProto, name: str) -> None:
    """Drop in place what runtimes do not need (paths and traces of this machine) and name the graph."""
    model.graph.name = name
    model.ir_version = IR_VERSION
    model.doc_string = ""
    model.producer_name, model.producer_version = "aez", ""
    del model.metadata_props[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in [*model.graph.input, *model.graph.output, *model.graph.value_info]:
        del value.metadata_props[:]
    del model.graph.value_info[:]
    del model.graph.metadata_props[:]


def store_compactly(model: onnx.ModelProto, kind: int) -> None:
    """Keep float32 weights that `kind`, float16 or int8, holds exactly behind a Cast, which runtimes fold at loading.

    Others, and small ones, stay as they are.
    """
    for tensor in list(model.graph.initializer):
        values = onnx.numpy_helper.to_array(tensor)
        if tensor.data_type != onnx.TensorProto.FLOAT or values.size < LARGE:
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            small = values.astype(onnx.helper.tensor_dtype_to_np_dtype(kind))
        if not np.array_equal(small.astype(np.float32), values):
            continue
        stored = onnx.numpy_helper.from_array(small, tensor.name + STORED)
        cast_node = onnx.helper.make_node("Cast", [stored.name], [tensor.name], to=onnx.TensorProto.FLOAT)
        model.graph.node.insert(0, cast_node)
        model.graph.initializer.remove(tensor)
        model.graph.initializer.append(stored)


def serialize(model: onnx.ModelProto) -> bytes:
    """The checked model as bytes, equal for equal models."""
    onnx.checker.check_model(model, full_check=True)
    serialized: bytes = model.SerializeToString(deterministic=True)
    return serialized
