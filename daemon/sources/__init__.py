"""Where telemetry comes in: one kind of source per file, each saying what it guarantees."""

from aez.codec.common.face import lazily

__getattr__ = lazily(
    __name__,
    {
        "aez.daemon.sources.base": "Put Source SourceOptions",
    },
)
