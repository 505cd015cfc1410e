"""Checks an ONNX graph without executing it and without the `onnx` package.

Guarantees for a graph that passes: only standard, deterministic operators without subgraphs, no functions, no data
outside the file, no tensor that claims more elements than it can hold. The protobuf wire format is read with a small
bounded reader; whatever it does not know in the places that matter is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from aez.codec.errors import ModelError

FIELDS_MAX = 500_000
NODES_MAX = 20_000
ELEMENTS_MAX = 1 << 25
STANDARD_DOMAINS = ("", "ai.onnx")
#: The newest version of the standard operators that a graph may ask for, and of the form of its file.
OPSET_MAX, IR_MAX = 18, 10

#: The standard operators, without control flow, sequences, optionals, strings, images, training and random numbers.
OPERATORS = frozenset(
    """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization BitShift BitwiseAnd
    BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu CenterCropPad Clip Col2Im Compress Concat Constant
    ConstantOfShape Conv ConvInteger ConvTranspose Cos Cosh CumSum DFT DepthToSpace DequantizeLinear Det Div Dropout
    DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gelu
    Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization
    HammingWindow HannWindow HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN LRN LSTM
    LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul MatMulInteger Max
    MaxPool Mean MeanVarianceNormalization MelWeightMatrix Min Mish Mod Mul Neg NonZero Not OneHot Or PRelu Pad Pow
    QLinearConv QLinearMatMul QuantizeLinear RMSNormalization RNN Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum
    ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize
    ReverseSequence Round STFT ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax
    Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu
    Unsqueeze Where Xor
    """.split()  # noqa: SIM905 - a list literal takes two hundred lines
)

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}

# Field numbers of onnx.proto.
_MODEL_HARMLESS = frozenset({2, 3, 4, 5, 6, 14})  # producer, domain, version, text, metadata
_MODEL_IR, _MODEL_GRAPH, _MODEL_OPSET = 1, 7, 8
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 5, 11, 12
_GRAPH_HARMLESS = frozenset({2, 10, 13, 14, 16})  # name, text, shapes in between, quantization notes, metadata
_NODE_OP_TYPE, _NODE_ATTRIBUTE, _NODE_DOMAIN, _NODE_OVERLOAD = 4, 5, 7, 8
_NODE_HARMLESS = frozenset({1, 2, 3, 6, 9})  # inputs, outputs, name, text, metadata
_ATTRIBUTE_TENSOR = 5
_ATTRIBUTE_HARMLESS = frozenset({1, 2, 3, 4, 7, 8, 9, 13, 20})  # name, numbers and strings, text, type
_TENSOR_DIMS, _TENSOR_NAME = 1, 8
_TENSOR_HARMLESS = frozenset({2, 4, 5, 6, 7, 9, 10, 11, 12, 16})  # type, the data itself, text, metadata
_TENSOR_EXTERNAL, _TENSOR_LOCATION = 13, 14
_VALUE_NAME = 1


@dataclass(frozen=True)
class GraphInfo:
    """What a graph takes and gives. defaults: inputs that have a value where they are left out."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    defaults: frozenset[str] = frozenset()


def check_graph(data: bytes, name: str) -> GraphInfo:
    """Check a serialized ModelProto; `name` is for messages. Raises ModelError."""
    try:
        return _Checker().model(memoryview(data))
    except ValueError as error:
        raise ModelError(f"the graph {name} is refused: {error}") from error


class _Checker:
    """One walk through one model; what it refuses is a ValueError."""

    def __init__(self) -> None:
        self._fields_left = FIELDS_MAX
        self._nodes_left = NODES_MAX
        self._inputs: list[str] = []
        self._outputs: list[str] = []
        self._initializers: set[str] = set()

    def model(self, data: memoryview) -> GraphInfo:
        graphs = 0
        for number, value in self._fields(data):
            if number == _MODEL_GRAPH:
                graphs += 1
                self._graph(_message(value))
            elif number == _MODEL_OPSET:
                self._opset(_message(value))
            elif number == _MODEL_IR:
                if not isinstance(value, int) or value > IR_MAX:
                    raise ValueError(f"its form has a version above {IR_MAX}")
            elif number not in _MODEL_HARMLESS:
                raise ValueError(f"model field {number} (functions, training or unknown) is not allowed")
        if graphs != 1:
            raise ValueError(f"it holds {graphs} graphs instead of one")
        defaults = self._initializers.intersection(self._inputs)
        return GraphInfo(tuple(self._inputs), tuple(self._outputs), frozenset(defaults))

    def _fields(self, data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
        """(number, value) of a message's fields; numbers as int, everything with a length as memoryview."""
        position = 0
        while position < len(data):
            self._fields_left -= 1
            if self._fields_left < 0:
                raise ValueError(f"it has more than {FIELDS_MAX} fields")
            key = data[position]
            if key < 0x80:  # as nearly always
                position += 1
            else:
                key, position = _varint(data, position)
            number, wire = key >> 3, key & 7
            if wire == _VARINT:
                value, position = _varint(data, position)
                yield number, value
                continue
            if wire == _BYTES:
                if position < len(data) and data[position] < 0x80:
                    size, position = data[position], position + 1
                else:
                    size, position = _varint(data, position)
            elif wire in _FIXED_SIZES:
                size = _FIXED_SIZES[wire]
            else:
                raise ValueError(f"it has a field of wire type {wire}")
            if size > len(data) - position:
                raise ValueError("it ends in the middle of a field")
            yield number, data[position : position + size]
            position += size

    def _opset(self, data: memoryview) -> None:
        for number, value in self._fields(data):
            if number == _OPSET_DOMAIN:
                _standard_domain(value)
            elif number != _OPSET_VERSION:
                raise ValueError(f"operator set field {number} is not allowed")
            elif not isinstance(value, int) or value > OPSET_MAX:
                raise ValueError(f"it asks for version {value} of the operators, above {OPSET_MAX}")

    def _graph(self, data: memoryview) -> None:
        for number, value in self._fields(data):
            if number == _GRAPH_NODE:
                self._node(_message(value))
            elif number == _GRAPH_INITIALIZER:
                self._initializers.add(self._tensor(_message(value)))
            elif number == _GRAPH_INPUT:
                self._inputs.append(self._value_name(_message(value)))
            elif number == _GRAPH_OUTPUT:
                self._outputs.append(self._value_name(_message(value)))
            elif number not in _GRAPH_HARMLESS:
                raise ValueError(f"graph field {number} (sparse weights or unknown) is not allowed")

    def _node(self, data: memoryview) -> None:
        self._nodes_left -= 1
        if self._nodes_left < 0:
            raise ValueError(f"it has more than {NODES_MAX} nodes")
        operator = ""
        for number, value in self._fields(data):
            if number == _NODE_OP_TYPE:
                operator = _text(value)
            elif number == _NODE_DOMAIN:
                _standard_domain(value)
            elif number == _NODE_ATTRIBUTE:
                self._attribute(_message(value))
            elif number == _NODE_OVERLOAD and _text(value) == "":
                continue
            elif number not in _NODE_HARMLESS:
                raise ValueError(f"node field {number} is not allowed")
        if operator not in OPERATORS:
            raise ValueError(f"operator {operator!r} is none of the standard ones that a bundle may use")

    def _attribute(self, data: memoryview) -> None:
        for number, value in self._fields(data):
            if number == _ATTRIBUTE_TENSOR:
                self._tensor(_message(value))
            elif number not in _ATTRIBUTE_HARMLESS:
                raise ValueError(f"attribute field {number} (subgraph, sparse tensor or unknown) is not allowed")

    def _tensor(self, data: memoryview) -> str:
        """Check a tensor and return its name."""
        name, elements = "", 1
        for number, value in self._fields(data):
            if number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and value != 0):
                raise ValueError("a tensor keeps its data in another file")
            if number == _TENSOR_DIMS:
                for size in _packed(value):
                    elements *= size
                if elements > ELEMENTS_MAX:
                    raise ValueError(f"a tensor claims more than {ELEMENTS_MAX} elements")
            elif number == _TENSOR_NAME:
                name = _text(value)
            elif number not in _TENSOR_HARMLESS and number != _TENSOR_LOCATION:
                raise ValueError(f"tensor field {number} is not allowed")
        return name

    def _value_name(self, data: memoryview) -> str:
        for number, value in self._fields(data):
            if number == _VALUE_NAME:
                return _text(value)
        raise ValueError("an input or output has no name")


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    number = 0
    for place in range(10):
        if position >= len(data):
            raise ValueError("it ends in the middle of a number")
        octet = data[position]
        position += 1
        number |= (octet & 0x7F) << (7 * place)
        if octet < 0x80:
            return number, position
    raise ValueError("it has a number of more than ten bytes")


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("it has a number where a message should be")
    return value


def _packed(value: int | memoryview) -> Iterator[int]:
    """The numbers of a repeated integer field, packed or not."""
    if isinstance(value, int):
        yield value
        return
    position = 0
    while position < len(value):
        number, position = _varint(value, position)
        yield number


def _text(value: int | memoryview) -> str:
    return str(_message(value), "utf-8")


def _standard_domain(value: int | memoryview) -> None:
    domain = _text(value)
    if domain not in STANDARD_DOMAINS:
        raise ValueError(f"operator domain {domain!r} is not the standard one")
