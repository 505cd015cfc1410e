"""Flow records of an office network, one row for each connection, and attacks among them.

Eighty clients and eight servers do what offices do: look up names, read the web, send mail, copy files, watch videos,
log in on servers, and make a copy of everything at night. Each kind of flow has its own lengths, sizes and gaps, all
heavy-tailed. What an exporter counts over neighbouring flows (how many go to the same destination, how many ports one
source tries) is really counted here, in order of time.

On the test day five attacks happen:

syn_flood   a distributed flood of half-open connections from made-up addresses to the web server
udp_flood   a distributed flood of large name-server answers nobody asked for
http_flood  many machines ask the web server for pages: each flow looks like any other
port_scan   one machine tries the ports of one server after the other
slow_scan   another tries a port every half a minute: each flow looks like a connection that failed

and one thing that is none: `new_service`, a video-meeting program that nobody had used before.

Usage: python network_flows_data.py FOLDER writes train.csv and test.csv (with a column `kind`).
"""

from __future__ import annotations

import argparse
from collections import Counter, deque
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from recipe import Floats, write_csv

FEATURES = (
    "duration",  # s
    "packets_out",
    "packets_in",
    "bytes_out",
    "bytes_in",
    "mean_size_out",  # bytes a packet
    "mean_size_in",
    "mean_gap",  # ms between packets
    "gap_deviation",  # ms
    "syn_flags",
    "rst_flags",
    "fin_flags",
    "push_flags",
    "tcp",  # 1, or 0 for UDP
    "known_port",  # 1 for a destination port below 1024
    "to_destination",  # flows to this destination in the last 2 s
    "from_source",  # flows from this source in the last 2 s
    "ports_of_source",  # different destination ports of this source in the last 30 s
    "hosts_of_source",  # different destinations of this source in the last 30 s
    "failed_of_source",  # share of this source's flows in the last 30 s that got no answer
)
NORMAL, NEW = "normal", "new_service"
ATTACKS = ("syn_flood", "udp_flood", "http_flood", "port_scan", "slow_scan")
DAY = 86_400.0  # s
_CLIENTS, _WEB, _NAMES, _FILES = 80, 1000, 1001, 1002  # addresses as numbers: clients from 0, servers from 1000


@dataclass(frozen=True, eq=False)
class Flows:
    """Flow records in order of time: values [flow, feature], kinds [flow], time [flow] in seconds."""

    values: Floats
    kinds: npt.NDArray[np.str_]
    time: Floats


@dataclass(frozen=True)
class _Shape:
    """What flows of a kind are like: medians, and how far they scatter (deviation of the logarithm).

    share: of all normal flows; port: at the destination, 0 for a high one; answered: chance of an answer.
    """

    share: float
    port: int
    tcp: bool
    packets_out: float
    packets_in: float
    size_out: float
    size_in: float
    gap: float  # ms
    scatter: float
    answered: float = 0.99


_KINDS = {
    "names": _Shape(0.38, 53, False, 1.2, 1.2, 70, 160, 12, 0.25),
    "web": _Shape(0.40, 443, True, 14, 20, 190, 900, 45, 0.9),
    "mail": _Shape(0.08, 587, True, 16, 14, 600, 130, 60, 0.7),
    "files": _Shape(0.06, 445, True, 60, 90, 300, 1100, 8, 1.1),
    "video": _Shape(0.04, 8443, True, 300, 1900, 90, 1380, 14, 0.6),
    "login": _Shape(0.02, 22, True, 80, 75, 130, 170, 160, 1.0),
    "clock": _Shape(0.02, 123, False, 1, 1, 76, 76, 20, 0.05),
}
_ATTACK_SHAPES = {
    "syn_flood": _Shape(0, 443, True, 1.3, 0.3, 60, 60, 900, 0.15, 0.2),
    "udp_flood": _Shape(0, 0, False, 6, 0, 1420, 0, 1.5, 0.3, 0.0),
    "http_flood": _Shape(0, 443, True, 9, 12, 210, 800, 30, 0.5),
    "port_scan": _Shape(0, 0, True, 1, 1, 60, 54, 2, 0.05, 0.02),
    "slow_scan": _Shape(0, 0, True, 1, 1, 60, 54, 2, 0.05, 0.02),
    "new_service": _Shape(0, 0, False, 2500, 2600, 420, 450, 19, 0.4),
}


@dataclass(frozen=True)
class _Flow:
    time: float
    source: int
    destination: int
    port: int
    kind: str


def make(train_flows: int = 40_000, test_flows: int = 40_000, seed: int = 0) -> tuple[Flows, Flows]:
    """(Normal flows to learn from, a later day with attacks); attacks come on top of the flows asked for."""
    rng = np.random.default_rng(seed)
    attacks = _attacks(test_flows, rng)
    return _describe(_office(train_flows, rng), rng), _describe(_office(test_flows, rng) + attacks, rng)


def _office(count: int, rng: np.random.Generator) -> list[_Flow]:
    """Normal flows of a working day: busy from 8 to 18 o'clock, with a dip at noon, and copies at night."""
    hour = np.arange(0, 24, 0.1)
    busy = 0.08 + np.exp(-(((hour - 10.5) / 2.0) ** 2)) + 0.9 * np.exp(-(((hour - 15.0) / 2.2) ** 2))
    starts = rng.choice(hour, size=count, p=busy / busy.sum()) * 3600 + rng.uniform(0, 360, count)
    names = rng.choice(list(_KINDS), size=count, p=[shape.share for shape in _KINDS.values()])
    names[(starts < 4 * 3600) & (rng.random(count) < 0.7)] = "files"
    flows = []
    for start, name in zip(np.sort(starts).tolist(), names.tolist(), strict=True):
        client = int(rng.integers(_CLIENTS))
        server = {"names": _NAMES, "clock": _NAMES, "files": _FILES, "mail": 1003, "login": 1004}.get(name)
        if server is None:
            server = _WEB if rng.random() < 0.15 else 2000 + int(rng.zipf(1.6) % 3000)
        flows.append(_Flow(start, client, server, _KINDS[name].port, name))
    return flows


def _attacks(office: int, rng: np.random.Generator) -> list[_Flow]:
    """Attacks in the working hours, their number of flows in proportion to those of the office."""
    flows = []
    for name, share, hour, seconds in (
        ("syn_flood", 0.06, 9.5, 60),
        ("udp_flood", 0.06, 11.0, 60),
        ("http_flood", 0.06, 13.5, 120),
        ("port_scan", 0.025, 15.0, 100),
        ("slow_scan", 0.003, 15.5, 30 * 0.003 * office),
        (NEW, 0.005, 16.0, 3600),
    ):
        times = np.sort(hour * 3600 + rng.uniform(0, seconds, round(share * office)))
        for number, time in enumerate(times.tolist()):
            source, destination, port = {
                "syn_flood": (10_000 + int(rng.integers(50_000)), _WEB, 443),
                "udp_flood": (70_000 + int(rng.integers(400)), _WEB, int(rng.integers(1024, 65_536))),
                "http_flood": (80_000 + int(rng.integers(300)), _WEB, 443),
                "port_scan": (90_000, 1004, 1 + number),
                "slow_scan": (17, 1000 + number % 8, int(rng.integers(1, 10_000))),
                NEW: (int(rng.integers(20)), 6000, 8801),
            }[name]
            flows.append(_Flow(time, source, destination, port, name))
    return flows


def _describe(flows: list[_Flow], rng: np.random.Generator) -> Flows:
    """The features of flows, in order of time."""
    flows = sorted(flows, key=lambda flow: flow.time)
    shapes = _KINDS | _ATTACK_SHAPES
    scatter = np.array([shapes[flow.kind].scatter for flow in flows])
    answered = rng.random(len(flows)) < [shapes[flow.kind].answered for flow in flows]

    def drawn(name: str, width: Floats | float) -> Floats:
        medians = np.array([getattr(shapes[flow.kind], name) for flow in flows])
        return np.asarray(medians * np.exp(width * rng.normal(size=len(flows))))

    long = np.exp(scatter * rng.normal(size=len(flows)))  # a long flow is long in both directions
    out = np.maximum(np.rint(drawn("packets_out", 0.3 * scatter) * long), 1)
    back = np.where(answered, np.rint(drawn("packets_in", 0.3 * scatter) * long), 0)
    tcp = np.array([shapes[flow.kind].tcp for flow in flows])
    out = np.where(tcp & ~answered, np.minimum(out, 3), out)  # the first packet and its repetitions
    size_out = np.clip(drawn("size_out", 0.25 * scatter), 40, 1500)
    size_in = np.where(back > 0, np.clip(drawn("size_in", 0.25 * scatter), 40, 1500), 0)
    gap = drawn("gap", scatter)
    ended = tcp & answered & (rng.random(len(flows)) < 0.93)
    columns = {
        "duration": gap * np.maximum(out + back - 1, 0) / 1000,
        "packets_out": out,
        "packets_in": back,
        "bytes_out": out * size_out,
        "bytes_in": back * size_in,
        "mean_size_out": size_out,
        "mean_size_in": size_in,
        "mean_gap": np.where(out + back > 1, gap, 0),
        "gap_deviation": np.where(out + back > 2, gap * rng.uniform(0.5, 2.5, len(flows)), 0),
        "syn_flags": np.where(tcp, np.where(answered, 2, out), 0),
        "rst_flags": np.where(tcp & ~ended & (answered | (back > 0)), 1, 0),
        "fin_flags": np.where(ended, 2, 0),
        "push_flags": np.where(tcp & (out > 3), np.rint(0.4 * (out + back)), 0),
        "tcp": tcp,
        "known_port": [0 < flow.port < 1024 for flow in flows],
    } | _counts(flows, answered)
    values = np.stack([np.asarray(columns[name], np.float64) for name in FEATURES], axis=1)
    kinds = np.array([NORMAL if flow.kind in _KINDS else flow.kind for flow in flows])
    return Flows(values, kinds, np.array([flow.time for flow in flows]))


class _Recent:
    """How many of each thing came in the last so many seconds, by group."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._queues: dict[int, deque[tuple[float, Hashable]]] = {}
        self._counters: dict[int, Counter[Hashable]] = {}

    def add(self, group: int, time: float, thing: Hashable) -> tuple[int, Counter[Hashable]]:
        """(Things of the group, how many of each), this one included."""
        queue = self._queues.setdefault(group, deque())
        counter = self._counters.setdefault(group, Counter())
        queue.append((time, thing))
        counter[thing] += 1
        while queue[0][0] < time - self._seconds:
            _, old = queue.popleft()
            counter[old] -= 1
            if not counter[old]:
                del counter[old]
        return len(queue), counter


def _counts(flows: list[_Flow], answered: npt.NDArray[np.bool_]) -> dict[str, list[float]]:
    """The features that look at neighbouring flows."""
    names = ("to_destination", "from_source", "ports_of_source", "hosts_of_source", "failed_of_source")
    found: dict[str, list[float]] = {name: [] for name in names}
    to, of, ports, hosts, failed = _Recent(2), _Recent(2), _Recent(30), _Recent(30), _Recent(30)
    for flow, answer in zip(flows, answered.tolist(), strict=True):
        found["to_destination"].append(to.add(flow.destination, flow.time, None)[0])
        found["from_source"].append(of.add(flow.source, flow.time, None)[0])
        found["ports_of_source"].append(len(ports.add(flow.source, flow.time, flow.port)[1]))
        found["hosts_of_source"].append(len(hosts.add(flow.source, flow.time, flow.destination)[1]))
        total, answers = failed.add(flow.source, flow.time, answer)
        found["failed_of_source"].append(answers[False] / total)
    return found


def main() -> None:
    """Write the flows into a folder."""
    parser = argparse.ArgumentParser(description="Make flow records of an office network, and attacks among them.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, flows in zip(("train", "test"), make(), strict=True):
        columns = dict(zip(FEATURES, flows.values.round(4).T, strict=True))
        write_csv(folder / f"{name}.csv", {"seconds": flows.time.round(3), **columns, "kind": flows.kinds})


if __name__ == "__main__":
    main()
