"""The monitor: a process that scores streams with detectors and reports events.

`service` is the process, `pipeline` the way of a chunk from its source to the commit, `delivery` that of an event to
its sinks. It imports from `aez.codec`, never from `aez.export` or torch. Receivers of its webhooks take `verify`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aez.codec.common.face import lazily

if TYPE_CHECKING:
    from aez.daemon.sinks.webhook import verify

__all__ = ["verify"]

__getattr__ = lazily(__name__, {"aez.daemon.sinks.webhook": "verify"})
