"""`aez bench detect` and `aez bench detect-speed`: figures of the detectors."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from aez import messages
from aez.codec.common.extras import needs
from aez.codec.errors import InvalidArgument
from aez.commands import options
from aez.commands.bench import shared

_MODULES = ("torch", "sklearn", "lightning_fabric", "onnx", "onnxscript", "joblib", "matplotlib", "pyarrow")


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path), metavar="FOLDER")
@click.option(
    "--model-family", "families", multiple=True, metavar="NAME", help="A family of ours, by default pca; repeatable."
)
@click.option(
    "--detector",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of our detectors, the same for all cases, such as window=60; repeatable.",
)
@click.option("--peers", metavar="NAME,NAME", help="Which detectors of others to set beside; all by default, or none.")
@click.option("--case", "only", multiple=True, metavar="NAME", help="Only this case, such as machine-1-2; repeatable.")
@click.option("--quick", is_flag=True, help="No VUS-PR, and every third case where no --case is given.")
@click.option("--int8", is_flag=True, help="Each of ours also as `aez models export --int8` writes it.")
@click.option("--thresholds", is_flag=True, help="Compare ways of choosing our threshold as well, on SMD and folders.")
@click.option("--jobs", type=click.IntRange(1, 256), help="Processes at a time; by default one for each core.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="Write JSON, table and plots there."
)
@shared.as_json
def detect(
    folder: Path | None,
    families: tuple[str, ...],
    settings: tuple[str, ...],
    peers: str | None,
    only: tuple[str, ...],
    quick: bool,
    int8: bool,
    thresholds: bool,
    jobs: int | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Detection on SKAB, SMD, NAB, or cases of one's own, beside other detectors.

    FOLDER is recognised by what lies in it; cases of one's own are folders with train.*, test.* and labels.*, or NPZ
    with train, test and test_label. Needs `pip install 'aez[bench,train]'`.
    """
    if folder is None:
        raise InvalidArgument("name the folder of a benchmark: SKAB, SMD, NAB, or train.*, test.* and labels.*, or NPZ")
    if output is not None:
        shared.import_first("aez[bench,train]", "matplotlib")
    with needs("aez[bench,train]", _MODULES):
        from aez.bench.detect.figures import save_report
        from aez.bench.detect.run import parse_settings, run
        from aez.export.series.train import DEFAULT_FAMILY

        report = run(
            folder,
            families or (DEFAULT_FAMILY,),
            parse_settings(settings),
            shared.peer_names(peers),
            quick=quick,
            thresholds=thresholds,
            int8=int8,
            only=only,
            jobs=jobs,
            progress=sys.stderr.isatty(),
        )
    shared.show(report, as_json)
    if output is not None:
        save_report(report, output)
        messages.summary(f"wrote the report and plots to {output}")


@click.command("detect-speed")
@click.argument("model", metavar="MODEL")
@click.option(
    "--seconds", type=options.Finite(0.01, 600), default=3.0, show_default=True, help="Time for each of the figures."
)
@click.option("--int8", is_flag=True, help="Measure what `aez models export --int8` writes as well.")
@options.as_json
def detect_speed(model: str, seconds: float, int8: bool, as_json: bool) -> None:
    """Windows per second of a detector on one core, in batches of 32 and one at a time."""
    from aez.bench.detect.speed import speed as measure

    report = measure(model, seconds, int8=int8)
    rates = report["windows_per_second"]
    size = f"{report['window']} rows, {report['channels']} channels"
    lines = [
        f"{report['model']}: windows of {size}; one core of {report['machine']['cpu']}",
        *(f"{title:<24}{_rate(rates[key], '32')}   {_rate(rates[key], '1')}" for title, key in _WAYS if key in rates),
    ]
    messages.result(json.dumps(report, indent=1) if as_json else "\n".join(lines))


COMMANDS = (detect, detect_speed)
_WAYS = (
    ("ONNX Runtime", "onnxruntime"),
    ("ONNX Runtime, int8", "int8"),
    ("aez.codec.detect.Detector", "detector"),
)


def _rate(rates: dict[str, float], batch: str) -> str:
    return f"{rates[batch]:>10,.0f} windows/s by {batch}"
