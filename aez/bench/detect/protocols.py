"""How the benchmarks of detection are judged: SKAB and NAB by their own rules, SMD and folders by ours."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from aez.bench.detect.changepoints import changepoint_score, changepoints_of
from aez.bench.detect.contestants import (
    ALARMS_PER_DAY,
    HELD_OUT,
    Contestant,
    Flags,
    Floats,
    Outsider,
    SkabForest,
    Task,
    Verdict,
)
from aez.bench.detect.data import Case
from aez.bench.detect.limits import LimitFigures
from aez.bench.detect.metrics import EventMetrics, PointMetrics, event_metrics, point_metrics
from aez.bench.detect.nab import NAB_PROFILES, nab_score
from aez.bench.detect.peers import STANDARD_PEERS, PeerDetector, PrincipalComponents, WindowedGaussian
from aez.bench.detect.ranking import average_precision, period_window, roc_auc, vus_pr
from aez.bench.detect.simple_peers import SIMPLE_PEERS
from aez.codec.detect.adaptive import COOL_DOWN, MEMORY
from aez.codec.detect.events import DEFAULT_RULE, find_events
from aez.export.series.train import MARGIN

#: Detectors are compared where one factor on their limits brings them to so many false alarms a day.
EQUAL_ALARMS_PER_DAY = 1.0
#: Of the normal rows, so that standing in alarm all day is no way to find events.
LARGEST_COVER = 0.1
_FACTORS = np.geomspace(1 / 16, 256, 49).tolist()
#: A single channel has no components; rows side by side do.
_NAB_PCA_WINDOW = 32


@dataclass
class Result:
    """What one contestant did on one case; a protocol's `examine` fills in the rest.

    limits: by the names of `limits.WAYS`, where they were asked for.
    """

    case: Case
    contestant: str
    verdict: Verdict
    flags: Flags | None = None
    figures: dict[str, float] = field(default_factory=dict)
    events: EventMetrics | None = None
    limits: dict[str, LimitFigures] = field(default_factory=dict)


@dataclass(frozen=True)
class Protocol:
    """How a kind of benchmark is judged.

    examine: fills in what one result says by itself; pool: the figures of a contestant over its results.
    rules: what a reader must know to take the figures for what they are.
    """

    task: Task
    examine: Callable[[Result, bool], None]
    pool: Callable[[Sequence[Result]], dict[str, float]]
    rules: tuple[str, ...]
    peers: Mapping[str, Callable[[], PeerDetector]]
    references: tuple[Contestant, ...] = ()


# --- SMD and folders --------------------------------------------------------------------------------------------------


def _examine_series(result: Result, quick: bool) -> None:
    case, verdict = result.case, result.verdict
    blame = verdict.channel_score
    channels = case.channels if blame is not None else ()
    alarms = find_events(verdict.score, blame, DEFAULT_RULE, channels, case.time, case.name)
    causes = case.causes if blame is not None else None
    result.events = event_metrics(
        case.labels, alarms, period_seconds=case.period_seconds, causes=causes, channels=case.channels
    )
    buffer = 2 * period_window(np.concatenate([case.train[:, 0], case.test[:, 0]]))
    result.figures = {
        "vus_pr": math.nan if quick else vus_pr(case.labels, verdict.ranking, buffer),
        "auc_pr": average_precision(case.labels, verdict.ranking),
        "auc_roc": roc_auc(case.labels, verdict.ranking),
        "buffer_rows": float(buffer),
        **_event_figures(result.events),
        "alarm_share": float(np.mean(_covered(verdict.score))),
    }


def _event_figures(events: EventMetrics) -> dict[str, float]:
    return {
        "events": float(events.labelled),
        "events_found": float(events.found),
        "alarms": float(events.alarms),
        "false_alarms": float(events.false_alarms),
        "event_precision": events.precision,
        "event_recall": events.recall,
        "false_alarms_per_day": events.false_alarms_per_day,
        "median_delay_rows": events.median_delay,
        "median_delay_seconds": events.median_delay_seconds,
        "top_channel_share": events.top_channel_share,
    }


def _pool_series(results: Sequence[Result]) -> dict[str, float]:
    """Measures without a limit are means over cases; events are counted over all."""
    events = [result.events for result in results if result.events is not None]
    total = events[0]
    for more in events[1:]:
        total += more
    means = {key: mean(result.figures[key] for result in results) for key in ("vus_pr", "auc_pr", "auc_roc")}
    equal = _events_at(results, EQUAL_ALARMS_PER_DAY)
    figures = {"alarm_share": mean(result.figures["alarm_share"] for result in results), "events_found_equal": equal}
    return means | _event_figures(total) | figures


def _events_at(results: Sequence[Result], false_alarms_per_day: float) -> float:
    """The most events found with one factor on all limits that gives at most so many false alarms a day.

    Limits at which more than `LARGEST_COVER` of the normal rows lie in alarms do not count: one alarm over everything
    finds all events, and none of its alarms is false. NaN without a clock, and where no factor of 1/16 to 256 will do.
    """
    normal = sum(int(np.count_nonzero(result.case.labels == 0)) for result in results)
    best = math.nan
    for factor in _FACTORS:  # all of them: false alarms do not fall steadily, since alarms break up as limits rise
        parts, flagged = [], 0
        for result in results:
            labels = result.case.labels
            alarms = find_events(result.verdict.score / factor, rule=DEFAULT_RULE)
            parts.append(event_metrics(labels, alarms, period_seconds=result.case.period_seconds))
            flagged += sum(int(np.count_nonzero(labels[alarm.start : alarm.end] == 0)) for alarm in alarms)
        total = sum(parts[1:], parts[0])
        if total.false_alarms_per_day <= false_alarms_per_day and flagged <= LARGEST_COVER * normal:
            best = max(float(total.found), 0.0 if math.isnan(best) else best)
    return best


_SERIES = Protocol(
    task=Task(covering=True),
    examine=_examine_series,
    pool=_pool_series,
    rules=(
        "Each case: learn from its training rows, score its test rows. VUS-PR, AUC-PR and AUC-ROC are means.",
        (
            "A row's score is that of the window that ends there, as in a monitor; where the name says covering, it is "
            "the mean over the windows that cover the row, as `aez score` has it of files."
        ),
        (
            "VUS-PR: buffers of 0 to twice the period of the first channel (highest peak of its autocorrelation, else "
            "125 rows), as in TSB-AD."
        ),
        (
            f"Events: at {MARGIN:g} times the limit that {ALARMS_PER_DAY:g} alarm a day gives on the last "
            f"{HELD_OUT:.0%} of the training rows, opened after {DEFAULT_RULE.open_after} rows above it and closed "
            f"after {DEFAULT_RULE.close_after} quiet ones; no label is seen. A labelled event is found when an alarm "
            "shares a row with it."
        ),
        (
            f"At {EQUAL_ALARMS_PER_DAY:g}/d: the most events found where one factor on all limits of a detector leaves "
            f"{EQUAL_ALARMS_PER_DAY:g} false alarm a day or less, with at most {LARGEST_COVER:.0%} of the normal rows "
            "in alarm."
        ),
        (
            "Delay: median rows from a labelled event's start until its alarm was raised. Top ch.: share of "
            "the events found, causes labelled, whose alarm names one of them first."
        ),
        "Alarm %: share of the test rows within alarms; one alarm over everything finds all events, and shows here.",
        "Peers learn from all training rows for the measures without a limit, and from the first 70 % for their limit.",
    ),
    peers=STANDARD_PEERS | SIMPLE_PEERS,
)


# --- SKAB -------------------------------------------------------------------------------------------------------------


def _examine_skab(result: Result, quick: bool) -> None:
    del quick
    case, verdict = result.case, result.verdict
    result.flags = verdict.flags[0] if verdict.flags else _covered(verdict.score)
    result.figures = _point_figures(point_metrics([(case.labels, result.flags)]))


def _point_figures(points: PointMetrics) -> dict[str, float]:
    return {
        "f1": points.f1,
        "false_alarm_rate": points.false_alarm_rate,
        "missed_alarm_rate": points.missed_alarm_rate,
        "precision": points.precision,
        "recall": points.recall,
    }


def _pool_skab(results: Sequence[Result]) -> dict[str, float]:
    rows = []
    for result in results:
        case, verdict, flags = result.case, result.verdict, result.flags
        assert flags is not None
        if case.changepoints is not None and case.time is not None:
            predicted = changepoints_of(verdict.flags[1] if verdict.flags else flags)
            rows.append((case.time, case.changepoints, predicted))
    points = point_metrics((result.case.labels, result.flags) for result in results if result.flags is not None)
    score = changepoint_score(rows)
    return _point_figures(points) | {
        "nab_standard": score.standard,
        "nab_low_fp": score.low_fp,
        "nab_low_fn": score.low_fn,
    }


_SKAB = Protocol(
    task=Task(ranking=False, follows=True),
    examine=_examine_skab,
    pool=_pool_skab,
    rules=(
        "SKAB: one model for each file, learned from its first 400 rows, judged on the rest; counts are pooled.",
        (
            f"Flagged are the rows within events (opened after {DEFAULT_RULE.open_after} rows above the limit, closed "
            f"after {DEFAULT_RULE.close_after} quiet ones); changepoints are where flags change. The limit comes from "
            f"the last {HELD_OUT:.0%} of the 400 rows, without labels; SKAB's own table has limits set by hand."
        ),
        "FAR is the share of normal rows flagged, MAR that of anomalous rows missed; flagging all gives F1 0.70.",
    ),
    peers=STANDARD_PEERS,
    references=(SkabForest(),),
)


# --- NAB --------------------------------------------------------------------------------------------------------------


def _examine_nab(result: Result, quick: bool) -> None:
    del quick
    result.figures = {"auc_pr": average_precision(result.case.labels, result.verdict.ranking)}


def _pool_nab(results: Sequence[Result]) -> dict[str, float]:
    corpus = [(result.verdict.ranking, result.case.labels) for result in results]
    figures = {}
    for profile in NAB_PROFILES:
        score = nab_score(corpus, profile)
        figures[f"nab_{profile}"] = score.score
        if profile == "standard":
            figures |= {
                "windows": float(score.windows),
                "windows_found": float(score.found),
                "false_alarm_rows": float(score.false_alarms),
                "limit": score.threshold,
            }
    return figures | {"auc_pr": mean(result.figures["auc_pr"] for result in results)}


_NAB_PEERS: dict[str, Callable[[], PeerDetector]] = {
    "PCA": partial(PrincipalComponents, window=_NAB_PCA_WINDOW),
    "Windowed Gaussian": WindowedGaussian,
}
_NAB = Protocol(
    task=Task(limited=False, follows=True, drifting=True),
    examine=_examine_nab,
    pool=_pool_nab,
    rules=(
        "NAB: learn from the first rows of each file, which NAB does not score (15 %, at most 750); score the rest.",
        (
            "NAB's own rules: one limit for all files, chosen on the labels for each profile; the earliest alarm in a "
            "window counts. 100 is perfect, 0 is silence. Only the files given count, so that figures differ from "
            "those of NAB's whole corpus."
        ),
        (
            f"Ours, and those called adapted: a score counts by its distance from the last {MEMORY} scores, and a row "
            f"only where it is louder than the {COOL_DOWN} rows before it (`aez.codec.detect.adaptive`); both were "
            "chosen on these files."
        ),
    ),
    peers=STANDARD_PEERS | _NAB_PEERS,
    references=tuple(Outsider(f"{name}, adapted", make, adapted=True) for name, make in _NAB_PEERS.items()),
)

PROTOCOLS: dict[str, Protocol] = {"skab": _SKAB, "smd": _SERIES, "nab": _NAB, "folder": _SERIES}


def _covered(score: Floats) -> Flags:
    """Rows within events, [time]."""
    flags = np.zeros(score.size, bool)
    for event in find_events(score, rule=DEFAULT_RULE):
        flags[event.start : event.end] = True
    return flags


def mean(values: Iterable[float]) -> float:
    """Of those that are numbers; NaN of none."""
    present = [value for value in values if not math.isnan(value)]
    return sum(present) / len(present) if present else math.nan
