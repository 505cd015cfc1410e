"""Channels like those of spacecraft: one value, 24 on/off commands that act on it or do not, 30 that never moved.

Made after the public telemetry of the Mars rover and the soil satellite (Hundman et al. 2018), of which nothing is in
here: there, too, the value alone is judged, and most commands say nothing about it. The value follows an orbit, the
loads that commands switch (with a lag), and noise that remembers. Commands come as pulses, as modes that last, and as
pairs of which one ends the other; in the test rows some come for the first time, which is no anomaly. A test has five
anomalies of the value, one of each kind:

excursion   it leaves its range
shift       it settles at another level, mostly within its range
stuck       it repeats one reading
restless    its noise is several times as strong
deaf        it does not answer a command that it always answered

Usage: python spacecraft.py [--seeds 20] prints how well aez, the value's own deviation and k-means on windows rank the
rows; --write FOLDER writes each seed as an NPZ of train, test [time, channels] and test_label [time].
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
KINDS = ("excursion", "shift", "stuck", "restless", "deaf")
COMMANDS, CONSTANTS = 24, 30
TRAIN, TEST = 3000, 4000
#: Of the commands, those that act on the value, and those that come in the test alone.
_ACTING, _NEW = 4, 3
#: Of the constant channels, those that move once in the test.
_MOVING = 3
#: Rows of an anomaly, at least and at most.
_LENGTH = (60, 200)
#: Rows of a window of k-means, its clusters, and the rows by which VUS-PR may miss.
_WINDOW, _CLUSTERS, _BUFFER = 32, 32, 100


@dataclass(frozen=True)
class Channel:
    """train, test: float64 [time, 1 + 24 + 30], the value first. labels: uint8 [time] of the test.

    anomalies: (kind, start, end exclusive).
    """

    train: Floats
    test: Floats
    labels: npt.NDArray[np.uint8]
    anomalies: tuple[tuple[str, int, int], ...]


def make_channel(seed: int) -> Channel:
    """The channel of a seed; equal seeds give equal channels."""
    rng = np.random.default_rng([20, seed])
    rows = TRAIN + TEST
    commands = np.stack([_command(rng, number, rows) for number in range(COMMANDS)], axis=1)
    commands[:TRAIN, COMMANDS - _NEW :] = 0  # heard of in the test alone
    commands[:, 1] = 1 - commands[:, 0]  # a pair: one is on where the other is off
    places = _places(rng)
    effects = rng.choice([-1, 1], _ACTING) * rng.uniform(0.6, 1.5, _ACTING)
    acting = [0, 2, 4, 6]
    for kind, start, end in places:  # what nobody answers must be asked for
        if kind == "deaf":
            commands[TRAIN + start - 30 : TRAIN + start, 2] = 0
            commands[TRAIN + start : TRAIN + end, 2] = 1
    heard = commands[:, acting].copy()
    for kind, start, end in places:
        if kind == "deaf":
            heard[TRAIN + start : TRAIN + end, 1] = 0
    value = _value(rng, rows, heard @ effects)
    test = value[TRAIN:]
    spread = float(value[:TRAIN].std())
    labels = np.zeros(TEST, np.uint8)
    for kind, start, end in places:
        test[start:end] = _broken(rng, kind, test[start:end], spread, value[:TRAIN])
        labels[start:end] = 1
    constants = np.zeros((rows, CONSTANTS))
    for number in range(_MOVING):
        start = TRAIN + int(rng.integers(0, TEST - 50))
        constants[start : start + int(rng.integers(1, 50)), number] = 1
    table = np.column_stack([value, commands, constants])
    return Channel(table[:TRAIN], table[TRAIN:], labels, places)


def _command(rng: np.random.Generator, number: int, rows: int) -> Floats:
    """Pulses of a few rows, or modes that last, [rows] of 0 and 1."""
    lasting = number % 2 == 0
    on, off = (rng.uniform(40, 160), rng.uniform(80, 400)) if lasting else (rng.uniform(1, 4), rng.uniform(60, 900))
    found, at = np.zeros(rows), int(rng.exponential(off))
    while at < rows:
        end = at + 1 + int(rng.exponential(on))
        found[at:end] = 1
        at = end + 1 + int(rng.exponential(off))
    return found


def _value(rng: np.random.Generator, rows: int, load: Floats) -> Floats:
    """An orbit, loads with a lag, and noise that remembers, in -1..1 on the training rows."""
    period, lag, memory = rng.uniform(60, 240), rng.uniform(0.1, 0.6), rng.uniform(0.3, 0.9)
    orbit = rng.uniform(0, 1) * np.sin(2 * np.pi * np.arange(rows) / period + rng.uniform(0, 6))
    noise = rng.normal(size=rows) * rng.uniform(0.1, 0.3) * np.sqrt(1 - memory**2)
    level = remembered = 0.0
    found = np.empty(rows)
    for row in range(rows):
        level += lag * (load[row] - level)
        remembered = memory * remembered + noise[row]
        found[row] = level + remembered + orbit[row]
    low, high = found[:TRAIN].min(), found[:TRAIN].max()
    return 2 * (found - low) / (high - low) - 1


def _places(rng: np.random.Generator) -> tuple[tuple[str, int, int], ...]:
    """One anomaly of each kind in any order, each in a part of the test of its own."""
    part = TEST // len(KINDS)
    found = []
    for number, kind in enumerate(rng.permutation(KINDS)):
        length = int(rng.integers(*_LENGTH))
        start = number * part + int(rng.integers(100, part - length - 20))
        found.append((str(kind), start, start + length))
    return tuple(found)


def _broken(rng: np.random.Generator, kind: str, rows: Floats, spread: float, train: Floats) -> Floats:
    sign = rng.choice([-1.0, 1.0])
    if kind == "excursion":
        return rows + sign * rng.uniform(3, 6) * spread
    if kind == "shift":
        return rows + sign * rng.uniform(1.5, 2.5) * spread
    if kind == "stuck":
        return np.full_like(rows, rows[0])
    if kind == "restless":
        return rows + rng.normal(size=len(rows)) * rng.uniform(2, 4) * float(np.std(np.diff(train)))
    return rows


def own_deviation(channel: Channel) -> Floats:
    """|z| of the value, [time]."""
    value = channel.train[:, 0]
    found: Floats = np.abs(channel.test[:, 0] - value.mean()) / value.std()
    return found


def k_means(channel: Channel, covering: bool) -> Floats:
    """Distance of windows of all channels, standardised, to the nearest of their clusters, [time].

    A row gets that of the window that ends there, or the mean over those that cover it.
    """
    from sklearn.cluster import KMeans

    mean, deviation = channel.train.mean(0), channel.train.std(0)
    deviation = np.where(deviation == 0, 1.0, deviation)

    def windows(rows: Floats) -> Floats:
        view = np.lib.stride_tricks.sliding_window_view((rows - mean) / deviation, _WINDOW, axis=0)
        return view.reshape(len(view), -1)

    clusters = KMeans(_CLUSTERS, n_init=1, random_state=0).fit(windows(channel.train)[::4])
    before = channel.train[1 - _WINDOW :]
    found: Floats = clusters.transform(windows(np.concatenate([before, channel.test]))).min(1)
    return covered(found) if covering else found


def covered(scores: Floats) -> Floats:
    """The mean of the scores of the windows that cover each row, by those of the windows that end there."""
    sums = np.concatenate([[0.0], np.cumsum(scores)])
    ends = np.minimum(np.arange(len(scores)) + _WINDOW, len(scores))
    starts = np.arange(len(scores))
    mean: Floats = (sums[ends] - sums[starts]) / (ends - starts)
    return mean


def aez_scores(channel: Channel) -> Floats:
    """aez with its defaults, [time]."""
    from aez.export import SeriesDetector

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it says of commands and constants
        detector = SeriesDetector().fit(channel.train)
    before = channel.train[1 - detector.window_ :] if detector.window_ > 1 else channel.train[:0]
    found: Floats = detector.anomaly_score(np.concatenate([before, channel.test]))[len(before) :]
    return found


def compare(seeds: int) -> dict[str, tuple[float, float]]:
    """Mean (VUS-PR, AUC-PR) over the seeds of each way to rank rows."""
    from aez.bench.detect.ranking import average_precision, vus_pr

    ways = {
        "aez": aez_scores,
        "|z| of the value": own_deviation,
        "k-means": lambda channel: k_means(channel, False),
        "k-means, covering": lambda channel: k_means(channel, True),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for seed in range(seeds):
        channel = make_channel(seed)
        for name, way in ways.items():
            scores = way(channel)
            pair = vus_pr(channel.labels, scores, _BUFFER), average_precision(channel.labels, scores)
            found[name].append(pair)
    return {name: tuple(np.mean(pairs, axis=0).tolist()) for name, pairs in found.items()}


def write(folder: Path, seeds: int) -> None:
    """One NPZ a seed."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(seeds):
        channel = make_channel(seed)
        path = folder / f"spacecraft-{seed:02}.npz"
        np.savez_compressed(path, train=channel.train, test=channel.test, test_label=channel.labels)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Channels like those of spacecraft.")
    parser.add_argument("--seeds", type=int, default=20, help="how many channels, 20 by default")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write them as NPZ instead of measuring")
    given = parser.parse_args(arguments)
    if given.write is not None:
        write(given.write, given.seeds)
        return
    print(f"mean over {given.seeds} channels{'':16}VUS-PR  AUC-PR")
    for name, (vus, auc) in compare(given.seeds).items():
        print(f"{name:38} {vus:6.3f}  {auc:6.3f}")


if __name__ == "__main__":
    main()
