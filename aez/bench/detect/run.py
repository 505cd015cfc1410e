"""`aez bench detect`: detectors on the benchmarks SKAB, SMD and NAB and on folders of one's own, by their protocols."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aez.bench.detect.contestants import Contestant, Outsider, Own, Task, Verdict
from aez.bench.detect.data import LOADERS, Case, benchmark_kind
from aez.bench.detect.limits import WAYS, LimitFigures, Trial, compare_limits
from aez.bench.detect.protocols import PROTOCOLS, Protocol, Result, mean
from aez.bench.detect.report import CaseFigures, DetectReport, Trace
from aez.bench.machine import describe_detection
from aez.codec.common.cores import available_cores
from aez.codec.common.extras import library
from aez.codec.common.progress import progress_bar
from aez.codec.errors import AezError, InvalidArgument
from aez.export.families.registry import family_class
from aez.export.series.arrays.estimator import SeriesDetector
from aez.export.series.train import DEFAULT_FAMILY

QUICK_STEP = 3
#: Scores of so many cases are drawn.
TRACES = 2
#: What the name of a contestant ends in where its scores look ahead.
COVERING = ", covering"
#: Where ways of choosing a limit are compared: the others have a protocol of their own for it.
WITH_THRESHOLDS = ("smd", "folder")
#: Settings of a detector that the benchmark sets itself.
_NOT_SETTINGS = ("family", "period", "convention", "verbose", "options")


def run(
    folder: str | Path,
    families: Sequence[str] = (DEFAULT_FAMILY,),
    settings: Mapping[str, Any] | None = None,
    peers: Sequence[str] | None = None,
    *,
    quick: bool = False,
    thresholds: bool = False,
    int8: bool = False,
    only: Sequence[str] = (),
    jobs: int | None = None,
    progress: bool = False,
) -> DetectReport:
    """Measure detectors on a benchmark's folder (see `aez.bench.detect.data`).

    Args:
        folder: SKAB, SMD, NAB, folders with train.*, test.* and labels, or NPZ with train, test and test_label.
        families: ours, each with the same settings for all cases.
        settings: parameters of `SeriesDetector`, as from `parse_settings`.
        peers: names of those to set beside ours, upper and lower case alike; None takes all.
        quick: no VUS-PR, and every third case unless `only` says which.
        thresholds: compare ways of choosing our detectors' limit too, on SMD and folders.
        int8: each of ours also as `aez models export --int8` writes it.
        only: names of the cases to measure; none for all.
        jobs: processes at a time, one for each core by default; each then computes with one thread.
        progress: a bar on standard error.

    Raises InvalidArgument for names that do not exist and for thresholds elsewhere, UnsupportedInput for a folder that
    is no benchmark, AezError where a peer's library is missing or none of our detectors could learn from any case.
    """
    protocol = PROTOCOLS[kind := benchmark_kind(folder)]
    if thresholds and kind not in WITH_THRESHOLDS:
        raise InvalidArgument("ways of choosing a threshold are compared on SMD and on folders, not here")
    own = _own(families, dict(settings or {}), (False, True) if int8 else (False,))
    contestants = _contestants(protocol, own, peers)
    cases = _chosen_cases(list(LOADERS[kind](folder)), only, QUICK_STEP if quick and not only else 1)
    jobs = jobs or available_cores()
    pairs = [(contestant, case) for case in cases for contestant in contestants]
    outcomes = _examined(pairs, _Examiner(protocol, quick, thresholds), jobs, progress)
    results, failures = _sorted_out(outcomes, _both_names(own))
    summary = _summaries(protocol, results, _both_names(contestants))
    names = [name for name in _both_names(own) if name in summary]
    return DetectReport(
        kind=kind,
        folder=Path(folder).resolve().name,
        detectors=tuple(summary),
        own=tuple(names),
        cases=tuple(case.name for case in cases),
        quick=quick,
        settings=dict(settings or {}),
        jobs=jobs,
        rules=protocol.rules,
        summary=summary,
        figures=tuple(_case_figures(result) for result in results),
        failures=tuple((failure.contestant, failure.case.name, failure.reason) for failure in failures),
        environment=describe_detection(),
        traces=_traces(results, names, protocol.task),
        thresholds={name: found for name in names if (found := _limits(results, name))},
    )


def _chosen_cases(cases: list[Case], only: Sequence[str], step: int) -> list[Case]:
    names = [case.name for case in cases]
    for name in only:
        if name not in names:
            raise InvalidArgument(f"case {name!r} is not there; use {', '.join(names)}")
    return [case for case in cases if not only or case.name in only][::step]


def _own(families: Sequence[str], settings: dict[str, Any], ways: Sequence[bool]) -> list[Own]:
    for family in families:
        family_class(family)  # raises before anything is measured
    return [Own(family, settings, way) for family in dict.fromkeys(families) for way in ways]


def parse_settings(texts: Iterable[str]) -> dict[str, Any]:
    """Settings of `SeriesDetector` from texts `key=value`; `options.key=value` is one of the family.

    Values are JSON where they can be, else texts. Raises InvalidArgument for a key that does not exist.
    """
    known = [name for name in SeriesDetector().get_params() if name not in _NOT_SETTINGS]
    settings: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        family_option = key.removeprefix("options.")
        if not equals or (key not in known and family_option == key):
            raise InvalidArgument(f"{text!r} is no setting; use {', '.join(known)} or options.NAME, each with =VALUE")
        try:
            read = json.loads(value)
        except ValueError:
            read = value
        if family_option != key:
            settings.setdefault("options", {})[family_option] = read
        else:
            settings[key] = read
    return settings


def _contestants(protocol: Protocol, own: Sequence[Own], peers: Sequence[str] | None) -> list[Contestant]:
    references = protocol.references if peers is None else ()
    return [*own, *_chosen_peers(protocol, peers), *references]


def _both_names(contestants: Sequence[Contestant]) -> list[str]:
    """Of each its name, and what it is called where its scores look ahead."""
    return [name for one in contestants for name in (one.name, one.name + COVERING)]


def _chosen_peers(protocol: Protocol, names: Sequence[str] | None) -> list[Outsider]:
    by_name = {name.lower(): name for name in protocol.peers}
    chosen = list(protocol.peers) if names is None else []
    for name in names or ():
        if name.lower() not in by_name:
            raise InvalidArgument(f"peer {name!r} is unknown; use {', '.join(protocol.peers)}")
        chosen.append(by_name[name.lower()])
    for package in ("sklearn", "joblib", *(("pyod",) if "PyOD AutoEncoder" in chosen else ())):
        if importlib.util.find_spec(package) is None:
            raise AezError(f"this needs {package}, which is not installed: pip install 'aez[bench,train]'")
    return [Outsider(name, protocol.peers[name]) for name in chosen]


@dataclass(frozen=True)
class Failure:
    """Why a contestant has no figures for a case."""

    case: Case
    contestant: str
    reason: str


def _sorted_out(outcomes: Sequence[Result | Failure], own: Sequence[str]) -> tuple[list[Result], list[Failure]]:
    """Results and failures apart. Raises AezError where none of our own detectors has a result."""
    results = [outcome for outcome in outcomes if isinstance(outcome, Result)]
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    if not any(result.contestant in own for result in results):
        first = next(failure for failure in failures if failure.contestant in own)
        raise AezError(f"none of our detectors could learn from any case; {first.case.name}: {first.reason}")
    return results, failures


def _examined(
    pairs: Sequence[tuple[Contestant, Case]], examine: _Examiner, jobs: int, progress: bool
) -> list[Result | Failure]:
    """What came of each pair, in their order."""
    by_name = {case.name: case for _, case in pairs}
    outcomes: list[Result | Failure] = []
    with progress_bar(total=len(pairs), unit="run", disable=not progress) as bar:
        for some in _in_parallel(pairs, examine, jobs):
            outcomes += [replace(one, case=by_name[one.case.name]) for one in some]  # a process sends copies
            bar.update()
    order = {(contestant.name, case.name): at for at, (contestant, case) in enumerate(pairs)}
    return sorted(outcomes, key=lambda one: order[one.contestant.removesuffix(COVERING), one.case.name])


def _in_parallel(
    pairs: Sequence[tuple[Contestant, Case]], examine: _Examiner, jobs: int
) -> Iterable[list[Result] | list[Failure]]:
    """What came of each pair, as it comes."""
    if jobs == 1:
        return (examine(contestant, case) for contestant, case in pairs)
    joblib = library("joblib", "bench")
    with joblib.parallel_config("loky", n_jobs=jobs, inner_max_num_threads=1):
        run_all = joblib.Parallel(return_as="generator_unordered")
        found: Iterable[list[Result] | list[Failure]] = run_all(
            joblib.delayed(examine)(contestant, case) for contestant, case in pairs
        )
    return found


@dataclass(frozen=True)
class _Examiner:
    """Lets a contestant judge a case, and judges it."""

    protocol: Protocol
    quick: bool
    thresholds: bool

    def __call__(self, contestant: Contestant, case: Case) -> list[Result] | list[Failure]:
        try:
            verdict = contestant.judge(case, self.protocol.task)
            found = [self._result(contestant.name, case, replace(verdict, covering=None))]
            if verdict.covering is not None:
                found.append(self._result(contestant.name + COVERING, case, verdict.covering))
        except (AezError, ValueError, TypeError) as error:  # scikit-learn's and torch's opinion of a setting
            return [Failure(case, contestant.name, (str(error).strip().splitlines() or [type(error).__name__])[0])]
        return found

    def _result(self, name: str, case: Case, verdict: Verdict) -> Result:
        result = Result(case, name, verdict)
        self.protocol.examine(result, self.quick)
        if self.thresholds and verdict.held_out is not None:
            trial = Trial(verdict.held_out, verdict.score, case.labels, case.period_seconds)
            result.limits = compare_limits(trial)
        result.verdict = replace(verdict, channel_score=None, held_out=None)  # large, and of no more use
        return result


def _limits(results: Sequence[Result], contestant: str) -> dict[str, dict[str, float]]:
    """A contestant's figures with each way of choosing its limit, over all cases in which it can be taken."""
    pooled: dict[str, LimitFigures] = {}
    for result in results:
        if result.contestant == contestant:
            for way, figures in result.limits.items():
                pooled[way] = pooled[way] + figures if way in pooled else figures
    return {way: pooled[way].as_dict() for way in WAYS if way in pooled}


def _summaries(protocol: Protocol, results: Sequence[Result], names: Sequence[str]) -> dict[str, dict[str, float]]:
    """By name what `_summary` says, of those with a result."""
    every = {name: _summary(protocol, [result for result in results if result.contestant == name]) for name in names}
    return {name: figures for name, figures in every.items() if figures}


def _summary(protocol: Protocol, results: Sequence[Result]) -> dict[str, float]:
    """A contestant's figures over its results; empty without any."""
    if not results:
        return {}
    return protocol.pool(results) | {
        "cases": float(len(results)),
        "fit_seconds": mean(result.verdict.fit_seconds for result in results),
        "score_seconds": mean(result.verdict.score_seconds for result in results),
    }


def _case_figures(result: Result) -> CaseFigures:
    verdict = result.verdict
    return CaseFigures(
        result.case.name, result.contestant, result.figures, verdict.fit_seconds, verdict.score_seconds, verdict.notices
    )


def _traces(results: Sequence[Result], own: Sequence[str], task: Task) -> tuple[Trace, ...]:
    """Scores of ours over the first cases with a labelled row."""
    found: dict[str, Trace] = {}
    for result in results:
        if result.contestant not in own or not result.case.labels.any():
            continue
        if result.case.name not in found and len(found) == TRACES:
            continue
        verdict = result.verdict
        trace = found.get(result.case.name) or Trace(result.case.name, result.case.labels, {}, task.limited)
        score = verdict.score if task.limited else verdict.ranking
        found[result.case.name] = replace(trace, scores={**trace.scores, result.contestant: score})
    return tuple(found.values())
