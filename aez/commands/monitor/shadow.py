"""`aez monitor shadow`, `compare` and `retrain`: candidates that score beside a model before they take its place."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from aez import messages
from aez.codec.common.words import iso_time
from aez.codec.errors import AezError
from aez.commands import options
from aez.commands.monitor.config import config_argument, load_config, needs_monitor, plain
from aez.commands.train.options import TRAINING_MODULES

model_argument = click.argument("model", metavar="MODEL")


@click.group()
def shadow() -> None:
    """Let a candidate score beside a model, without alarms, until it takes the model's place or goes."""


@shadow.command()
@config_argument
@model_argument
@click.argument("candidate", type=click.Path(path_type=Path), metavar="CANDIDATE.aezm")
def start(config: Path, model: str, candidate: Path) -> None:
    """Let CANDIDATE.aezm score what MODEL scores; a copy of it is kept beside the state."""
    found = load_config(config)
    with needs_monitor():
        from aez.daemon.tools.shadow import put_candidate

        _say_start(model, put_candidate(found, model, candidate))


@shadow.command()
@config_argument
@model_argument
def promote(config: Path, model: str) -> None:
    """Put MODEL's candidate in place of its file and reload; the file before stays as NAME.aezm.before."""
    messages.result(f"model {model} is its candidate now: {_ask(config, model, 'promote').get('changes', '')}")


@shadow.command()
@config_argument
@model_argument
def drop(config: Path, model: str) -> None:
    """Let go of MODEL's candidate and of its figures."""
    _ask(config, model, "drop")
    messages.result(f"model {model} has no candidate any more")


@click.command()
@config_argument
@options.as_json
def compare(config: Path, as_json: bool) -> None:
    """Show how the candidates of the monitor that runs compare with their models."""
    found = load_config(config)
    with needs_monitor():
        from aez.daemon.tools.shadow import compared

        told = compared(found)
    if as_json:
        messages.result(json.dumps(told, ensure_ascii=False))
        return
    if not told:
        messages.result("no model has a candidate")
    for one in told:
        messages.result("\n".join(_lines(one)))


@click.command()
@config_argument
@model_argument
@click.option("--minutes", type=options.Finite(0, min_open=True), help="As long the trainer may take at most.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="MODEL.aezm", help="Keep the bundle, too.")
def retrain(config: Path, model: str, minutes: float | None, output: Path | None) -> None:
    """Train a successor of MODEL on the rows that [scores] kept, and let it score as MODEL's candidate.

    Rows in and around events are left out. The trainer runs as a process of its own; it needs
    `pip install 'aez[train]'`.
    """
    found = load_config(config)
    for name in TRAINING_MODULES:
        if importlib.util.find_spec(name) is None:
            raise AezError(f"retraining needs {name}, which is not installed: pip install 'aez[train]'")
    with needs_monitor(), tempfile.TemporaryDirectory(prefix="aez-retrain-") as folder:
        from aez.codec.detect.detector import load_detector
        from aez.daemon.tools.retrain import STREAM, training_files
        from aez.daemon.tools.shadow import entry_of, put_candidate

        entry = entry_of(found, model)
        before = load_detector(entry.options.path, device="cpu")
        own = before.scales is not None  # each stream has a scale of its own
        files = training_files(found, entry, before.channels, before.window, Path(folder), named=own)
        made = Path(folder) / "candidate.aezm" if output is None else output
        command = [sys.executable, "-m", "aez", "train", "series", *map(str, files), "-o", str(made)]
        command += ["--window", str(before.window), "--name", before.bundle.name]
        family = str(before.bundle.manifest.get("family", ""))
        command += ["--family", family] if family in _families() else []
        command += ["--stream", STREAM, "--per-stream-scale"] if own else []
        command += [] if minutes is None else ["--minutes", f"{minutes:g}"]
        code = subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode
        if code:
            raise AezError(f"the trainer ended with code {code}, as it says above; model {model} has no new candidate")
        _say_start(model, put_candidate(found, model, made))


def _families() -> tuple[str, ...]:
    from aez.export.families.registry import NAMES

    return tuple(NAMES)


def _say_start(model: str, begun: bool) -> None:
    when = "scores from now on" if begun else "scores from the monitor's next start on, for none runs now"
    messages.result(f"the candidate of model {model} {when}; aez monitor compare shows how it does")


def _ask(config: Path, model: str, action: str) -> dict[str, Any]:
    found = load_config(config)
    with needs_monitor():
        from aez.daemon.tools.client import Refused
        from aez.daemon.tools.shadow import ask

        try:
            return ask(found, model, action)
        except Refused as error:
            raise AezError(f"the monitor did not do it: {error}") from error


def _lines(one: dict[str, Any]) -> list[str]:
    """A comparison for people."""
    figures = one["figures"]
    model, candidate = figures["model"], figures["candidate"]
    lines = [
        f"model {plain(one['model'])} ({one['model_id'][:8]}) and its candidate ({one['candidate_id'][:8]}): "
        f"{figures['rows']:,} rows" + _span(figures),
        f"{'':24}{'model':>12}{'candidate':>12}",
    ]
    rows = [
        ("events", "events"),
        ("  of them ended", "ended"),
        ("  at the same time", "overlap"),
        ("rows above the limit", "above"),
    ]
    lines += [f"{title:24}{model[key]:>12,}{candidate[key]:>12,}" for title, key in rows]
    lines.append(f"{'  both':24}{figures['both_above']:>12,}")
    for share, value in model["quantiles"].items():
        other = candidate["quantiles"][share]
        if value is not None and other is not None:
            lines.append(f"{f'score, {float(share):.1%} below':24}{value:>12.3g}{other:>12.3g}")
    lines += [
        f"{plain(stream['stream'])[:23]:24}{stream['model']:>12,}{stream['candidate']:>12,}"
        for stream in figures["streams"]
        if stream["model"] != stream["candidate"]
    ]
    if figures["skipped"]:
        lines.append(f"{figures['skipped']:,} rows were left out: the candidate is slower than they came")
    return lines


def _span(figures: dict[str, Any]) -> str:
    first, last = figures["first_time"], figures["last_time"]
    return "" if first is None else f" from {iso_time(first, 0)} to {iso_time(last, 0)}"


COMMANDS = (shadow, compare, retrain)
