"""Successors on a schedule: where a model's `retrain_days` are over, `aez monitor retrain` runs as a process beside.

Guarantees: one at a time, of lower priority where the system has that; what fails is said in the log once and tried
again when the days are over again; the monitor's end ends it. When a model was last trained is the time of a file
beside its candidate, so that a restart does not begin anew.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from aez.daemon.shadow.folder import ShadowFolder

__all__ = ["Retraining"]

_log = logging.getLogger("aez.daemon.service")
_DAY = 86_400.0
_STOP_SECONDS = 5.0


def _command(config: Path, model: str) -> list[str]:
    nice = shutil.which("nice")
    return [
        *([nice, "-n", "10"] if nice else []),
        sys.executable,
        "-m",
        "aez",
        "monitor",
        "retrain",
        str(config),
        model,
    ]


class Retraining:
    """Looks after one monitor's schedule; one thread calls it.

    command: what makes a candidate, by the configuration's path and the model's name.
    """

    def __init__(
        self, config: Path, folder: ShadowFolder, command: Callable[[Path, str], Sequence[str]] = _command
    ) -> None:
        self._config, self._folder, self._command = config, folder, command
        self._process: subprocess.Popen[bytes] | None = None
        self._model = ""
        self._said: IO[bytes] | None = None

    def look(self, days: Mapping[str, float], now: float | None = None) -> None:
        """Begin with the first model whose days are over (`days` by model; now: Unix time), or see to what runs."""
        if self._process is not None:
            if self._process.poll() is not None:
                self._ended(self._process.returncode)
            return
        moment = time.time() if now is None else now
        for model, every in days.items():
            last = self._folder.trained(model)
            if last is None:
                self._folder.note_trained(model, moment)
            elif moment - last >= every * _DAY:
                self._folder.note_trained(model, moment)
                self._begin(model)
                return

    def stop(self) -> None:
        """End what runs."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
            if process.poll() is None:
                process.kill()
                process.wait()
        if self._said is not None:
            self._said.close()
            self._said = None

    def _begin(self, model: str) -> None:
        self._model = model
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - open for as long as the process writes to it
        command = list(self._command(self._config, model))
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=self._said, stderr=subprocess.STDOUT
            )
        except OSError as error:
            _log.error("model %s cannot be retrained: %s", model, error.strerror or error)
            return
        _log.info("a successor of model %s is trained", model)

    def _ended(self, code: int) -> None:
        last = ""
        if self._said is not None:
            self._said.seek(0)
            lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
            last = lines[-1] if lines else ""
        self.stop()
        if code:
            _log.error("model %s was not retrained (code %d): %s", self._model, code, last)
        else:
            _log.info("model %s was retrained: %s", self._model, last)
