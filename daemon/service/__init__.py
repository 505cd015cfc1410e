"""The process: opens what a configuration names, runs it, takes another configuration, and ends in order.

`monitor` is the life of the process, `running` what is open meanwhile, `view` what it tells pages; `plan` says what a
reload is to change, and `exchange` changes all of it or nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aez.codec.common.face import lazily

if TYPE_CHECKING:
    from aez.daemon.service.monitor import EXIT_DEFECT, EXIT_FORCED, Monitor

__all__ = ["EXIT_DEFECT", "EXIT_FORCED", "Monitor"]

__getattr__ = lazily(__name__, {"aez.daemon.service.monitor": "EXIT_DEFECT EXIT_FORCED Monitor"})
