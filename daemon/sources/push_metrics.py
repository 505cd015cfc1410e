"""Metrics as others push them, in line protocol: Prometheus remote write, and OTLP over HTTP in protobuf.

A metric becomes the column of its name; labels and attributes become tags, and so the stream's name where no template
makes it of some of them. Values that are no numbers, such as the marks of series that ended, are passed over, and of
histograms and summaries the count and the sum are taken. Both need what `pip install 'aez[otel]'` brings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from aez.codec.common.extras import library

__all__ = ["otlp_lines", "remote_write_lines"]

_EXTRA = "otel"
_MS = 1_000_000
_SPECIAL = re.compile(r"([,= \\])")
_LENGTH_BYTES = 5  # of the varint that a snappy block begins with


def remote_write_lines(body: bytes, most: int) -> bytes:
    """The samples of one request of Prometheus remote write 1.0, still packed with snappy; `most` bytes unpacked.

    Raises ValueError where it is none, AezError where a library is missing.
    """
    size = _unpacked_size(body)
    if size > most:
        raise ValueError(f"it has {size:,} bytes unpacked, and {most:,} are allowed")
    message = _write_request()()
    try:
        unpacked = library("pyarrow", "monitor").decompress(body, size, "snappy", asbytes=True)
        message.ParseFromString(unpacked)
    except (OSError, ValueError, library("google.protobuf.message", _EXTRA).DecodeError) as error:
        raise ValueError("it is no request of Prometheus remote write 1.0") from error
    lines = []
    for series in message.timeseries:
        labels = {label.name: label.value for label in series.labels}
        name = labels.pop("__name__", "")
        lines += [_line("prometheus", labels, [(name, one.value)], one.timestamp * _MS) for one in series.samples]
    return b"".join(lines)


def otlp_lines(body: bytes) -> bytes:
    """The data points of one ExportMetricsServiceRequest. Raises as `remote_write_lines` does."""
    module = library("opentelemetry.proto.collector.metrics.v1.metrics_service_pb2", _EXTRA)
    message = module.ExportMetricsServiceRequest()
    try:
        message.ParseFromString(body)
    except library("google.protobuf.message", _EXTRA).DecodeError as error:
        raise ValueError("it is no ExportMetricsServiceRequest of OTLP in protobuf") from error
    lines = []
    for resource in message.resource_metrics:
        shared = _attributes(resource.resource.attributes)
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in _points(metric):
                    tags = {**shared, **_attributes(point.attributes)}
                    lines.append(_line("otlp", tags, _values(metric.name, point), point.time_unix_nano))
    return b"".join(lines)


def _points(metric: Any) -> Iterable[Any]:
    kind = metric.WhichOneof("data")
    points: Iterable[Any] = getattr(metric, kind).data_points if kind else ()
    return points


def _values(name: str, point: Any) -> Iterator[tuple[str, float]]:
    if hasattr(point, "as_double"):
        kind = point.WhichOneof("value")
        if kind:
            yield name, float(getattr(point, kind))
        return
    yield f"{name}.count", float(point.count)
    yield f"{name}.sum", float(point.sum)


def _attributes(attributes: Iterable[Any]) -> dict[str, str]:
    """Those that are plain values; SDKs' names of themselves say nothing of what is measured."""
    found = {}
    for one in attributes:
        kind = one.value.WhichOneof("value")
        if kind in ("string_value", "bool_value", "int_value", "double_value") and not one.key.startswith("telemetry."):
            found[one.key] = str(getattr(one.value, kind))
    return found


def _line(measurement: str, tags: Mapping[str, str], values: Iterable[tuple[str, float]], time: int) -> bytes:
    """A line of line protocol; nothing where there is no number."""
    fields = [f"{_escaped(name)}={value!r}" for name, value in values if name and math.isfinite(value)]
    if not fields:
        return b""
    head = "".join(f",{_escaped(name)}={_escaped(text)}" for name, text in sorted(tags.items()) if name and text)
    return f"{measurement}{head} {','.join(fields)} {time}\n".encode()


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split("\n")))


def _unpacked_size(body: bytes) -> int:
    """What a snappy block says of its size. Raises ValueError."""
    size = 0
    for place, byte in enumerate(body[:_LENGTH_BYTES]):
        size |= (byte & 0x7F) << (7 * place)
        if not byte & 0x80:
            return size
    raise ValueError("it is not packed with snappy, as remote write is")


@cache
def _write_request() -> Any:
    """The message type, as Prometheus declares it, without what is not read here."""
    descriptor = library("google.protobuf.descriptor_pb2", _EXTRA)
    kind = descriptor.FieldDescriptorProto
    file = descriptor.FileDescriptorProto(name="aez/remote_write.proto", package="aez", syntax="proto3")

    def message(name: str, *fields: tuple[str, int, int, str | None]) -> None:
        made = file.message_type.add(name=name)
        for field, number, type_, of in fields:
            label = kind.LABEL_REPEATED if of else kind.LABEL_OPTIONAL
            made.field.add(name=field, number=number, type=type_, label=label, type_name=f".aez.{of}" if of else None)

    message("Label", ("name", 1, kind.TYPE_STRING, None), ("value", 2, kind.TYPE_STRING, None))
    message("Sample", ("value", 1, kind.TYPE_DOUBLE, None), ("timestamp", 2, kind.TYPE_INT64, None))
    message("TimeSeries", ("labels", 1, kind.TYPE_MESSAGE, "Label"), ("samples", 2, kind.TYPE_MESSAGE, "Sample"))
    message("WriteRequest", ("timeseries", 1, kind.TYPE_MESSAGE, "TimeSeries"))
    pool = library("google.protobuf.descriptor_pool", _EXTRA).DescriptorPool()
    pool.Add(file)
    factory = library("google.protobuf.message_factory", _EXTRA)
    return factory.GetMessageClass(pool.FindMessageTypeByName("aez.WriteRequest"))
