"""Card payments, of which one in two hundred is fraud; 30 features each, as a payment processor computes them.

Three thousand card holders buy at places, times and prices of their own. What a processor knows of a card's past (how
often it was used in the last hour, how far the last payment was, whether the merchant is new to it) is really computed
from the payments before.

Fraud comes in three kinds, on cards that go on being used by their owners:

testing   a stolen number is tried with a row of small payments online
cloned    a copied card buys expensive goods far away
takeover  somebody who knows the owner's habits buys online, at usual hours and for a little more than usual

Usage: python card_fraud_data.py FOLDER writes payments.csv (with a column `kind`).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from recipe import Floats, write_csv

FEATURES = (
    "log_amount",
    "round_amount",  # 1 for a whole number of tens
    "amount_to_usual",  # logarithm of the ratio to what the card usually pays
    "log_spent_24h",
    "log_spent_7d",
    "payments_1h",
    "payments_24h",
    "payments_7d",
    "log_minutes_since_last",
    "log_km_from_home",
    "log_km_from_last",
    "log_km_per_hour",  # since the last payment
    "abroad",
    "hour_sine",
    "hour_cosine",
    "hour_to_usual",  # h between this hour and the card's usual one
    "weekend",
    "online",
    "chip",
    "contactless",
    "new_merchant",  # 1 for a merchant that the card has not paid before
    "merchants_24h",  # share of the last day's payments that went to new ones
    "merchant_risk",  # 0..1, from its past
    "log_merchant_age",  # days
    "declined_24h",
    "used_of_limit",  # share of the credit line
    "card_age",  # years
    "grocery",
    "travel",
    "electronics",
)
NORMAL, FRAUDS = "normal", ("testing", "cloned", "takeover")
FRAUD_SHARE = 0.005
DAYS = 60
_CARDS, _MERCHANTS = 3000, 1500
_DAY = 24.0  # h
#: Grocery, restaurant, fuel, digital, travel, electronics: share of payments, median price, scatter of its logarithm.
_TRADES = ((0.38, 32, 0.6), (0.22, 28, 0.6), (0.12, 55, 0.3), (0.16, 14, 0.8), (0.05, 180, 0.9), (0.07, 120, 0.9))
_GROCERY, _DIGITAL, _TRAVEL, _ELECTRONICS = 0, 3, 4, 5

Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Payments:
    """Payments in order of time: values [payment, feature] and kinds [payment]."""

    values: Floats
    kinds: npt.NDArray[np.str_]


def make(count: int = 80_000, seed: int = 0) -> Payments:
    """About so many payments over `DAYS` days."""
    rng = np.random.default_rng(seed)
    cards = max(50, _CARDS * count // 80_000)
    owners = {
        "price": np.exp(0.4 * rng.normal(size=cards)),  # what they pay, relative to others
        "hour": rng.normal(14.5, 2.0, cards),
        "x": rng.uniform(0, 800, cards),  # km
        "y": rng.uniform(0, 800, cards),
        "online": rng.beta(2, 6, cards),
        "limit": 2000 * np.exp(0.6 * rng.normal(size=cards)),
        "age": rng.uniform(0.1, 5, cards),
        "activity": rng.gamma(2.0, 1.0, cards),
    }
    merchants = {
        "trade": rng.choice(len(_TRADES), size=_MERCHANTS, p=[share for share, _, _ in _TRADES]),
        "risk": rng.beta(1.5, 12, _MERCHANTS),
        "age": np.exp(rng.normal(7.0, 1.0, _MERCHANTS)),
    }
    shopping = _shopping(count, owners, merchants, rng)
    fraud = _fraud(round(FRAUD_SHARE * count), owners, merchants, rng)
    joined = {name: np.concatenate([shopping[name], fraud[name]]) for name in shopping}
    order = np.argsort(joined["time"], kind="stable")
    joined = {name: column[order] for name, column in joined.items()}
    columns = _features(joined, owners, merchants)
    values = np.stack([np.asarray(columns[name], np.float64) for name in FEATURES], axis=1)
    return Payments(values, joined["kind"].astype(str))


def _shopping(count: int, owners: Columns, merchants: Columns, rng: np.random.Generator) -> Columns:
    """What owners pay: mostly near home and at merchants they know, now and then on a journey or online."""
    card = rng.choice(len(owners["price"]), size=count, p=owners["activity"] / owners["activity"].sum())
    # Each card has merchants it goes back to: the choice is among few, by Zipf's law, and seldom among all.
    favourite = (card * 7919 + np.minimum(rng.zipf(1.5, count), 40) * 104_729) % _MERCHANTS
    merchant = np.where(rng.random(count) < 0.88, favourite, rng.integers(_MERCHANTS, size=count))
    trade = merchants["trade"][merchant]
    median, scatter = (np.array([row[at] for row in _TRADES], float)[trade] for at in (1, 2))
    online = (trade == _DIGITAL) | (rng.random(count) < owners["online"][card] * (trade != _GROCERY))
    days = rng.integers(DAYS, size=count)
    # A card is abroad for the same week as long as its owner's journey lasts.
    journey = (days // 7 + card) % 23 == 0
    far = np.where(journey, 300 + 6000 * ((card * 31) % 100 / 100), np.exp(rng.normal(1.2, 1.0, count)))
    return {
        "time": days * _DAY + np.clip(rng.normal(owners["hour"][card], 3.2), 0.2, 23.8),
        "card": card,
        "merchant": merchant,
        "amount": median * owners["price"][card] * np.exp(scatter * rng.normal(size=count)),
        "online": online,
        "far": np.where(online, 0, far),
        "direction": rng.uniform(0, 2 * np.pi, count) * ~journey,
        "abroad": journey & (far > 1000),
        "chip": ~online & (rng.random(count) < 0.45),
        "declined": rng.random(count) < 0.012,
        "kind": np.full(count, NORMAL, object),
    }


def _fraud(count: int, owners: Columns, merchants: Columns, rng: np.random.Generator) -> Columns:
    """Cases of fraud, each of one kind and one or several payments, until there are `count` payments."""
    online = np.flatnonzero(merchants["trade"] == _DIGITAL)
    dear = np.flatnonzero(merchants["trade"] == _ELECTRONICS)
    rows: list[dict[str, Any]] = []
    while len(rows) < count:
        card = int(rng.integers(len(owners["price"])))
        kind = str(rng.choice(FRAUDS, p=[0.2, 0.4, 0.4]))
        usual = owners["price"][card]
        day = rng.integers(DAYS) * _DAY
        if kind == "testing":
            start, many = day + rng.uniform(0, 22), int(rng.integers(4, 10))
            times = start + np.sort(rng.uniform(0, 0.7, many))
            amounts, places, far = rng.uniform(1, 6, many), rng.choice(online, many), 0.0
        elif kind == "cloned":
            many = int(rng.integers(1, 5))
            times = day + rng.uniform(9, 20) + np.cumsum(rng.uniform(0.2, 1.0, many))
            amounts, places, far = (
                usual * np.exp(rng.normal(5.6, 0.5, many)),
                rng.choice(dear, many),
                rng.uniform(200, 5000),
            )
        else:
            many = int(rng.integers(1, 4))
            times = day + np.clip(rng.normal(owners["hour"][card], 3.2, many), 0.2, 23.8)
            amounts, places, far = usual * np.exp(rng.normal(4.3, 0.6, many)), rng.choice(dear, many), 0.0
        for time, amount, place in zip(times.tolist(), amounts.tolist(), places.tolist(), strict=True):
            rows.append(
                {
                    "time": time,
                    "card": card,
                    "merchant": place,
                    "amount": amount,
                    "online": kind != "cloned",
                    "far": far,
                    "direction": 1.0,
                    "abroad": far > 1000,
                    "chip": False,
                    "declined": rng.random() < {"testing": 0.4, "cloned": 0.1, "takeover": 0.03}[kind],
                    "kind": kind,
                }
            )
    return {name: np.array([row[name] for row in rows[:count]]) for name in rows[0]}


def _features(paid: Columns, owners: Columns, merchants: Columns) -> Columns:
    """The features, for payments in order of time."""
    card, time, amount, merchant = paid["card"], paid["time"], paid["amount"], paid["merchant"]
    past = _Past(card, time)
    pair = card.astype(np.int64) * _MERCHANTS + merchant
    new = np.zeros(len(card), bool)
    new[np.unique(pair, return_index=True)[1]] = True
    x = owners["x"][card] + paid["far"] * np.cos(paid["direction"])
    y = owners["y"][card] + paid["far"] * np.sin(paid["direction"])
    since = past.since_last()
    # An online payment is made from nowhere; distances then count from home.
    hop = np.where(paid["online"], 0, np.hypot(past.change(x), past.change(y)))
    payments_24h = past.count(24)
    hour = time % _DAY
    apart = np.abs(hour - owners["hour"][card])
    trade = merchants["trade"][merchant]
    return {
        "log_amount": np.log(amount),
        "round_amount": (np.rint(amount) % 10 == 0) & (amount > 5),
        "amount_to_usual": np.log(amount / (30 * owners["price"][card])),
        "log_spent_24h": np.log(past.total(amount, 24)),
        "log_spent_7d": np.log(past.total(amount, 168)),
        "payments_1h": past.count(1),
        "payments_24h": payments_24h,
        "payments_7d": past.count(168),
        "log_minutes_since_last": np.log1p(60 * since),
        "log_km_from_home": np.log1p(paid["far"]),
        "log_km_from_last": np.log1p(hop),
        "log_km_per_hour": np.log1p(hop / np.maximum(since, 0.1)),
        "abroad": paid["abroad"],
        "hour_sine": np.sin(2 * np.pi * hour / 24),
        "hour_cosine": np.cos(2 * np.pi * hour / 24),
        "hour_to_usual": np.minimum(apart, 24 - apart),
        "weekend": (time // _DAY) % 7 >= 5,
        "online": paid["online"],
        "chip": paid["chip"],
        "contactless": ~paid["online"] & ~paid["chip"] & (amount < 50),
        "new_merchant": new,
        "merchants_24h": past.total(new, 24) / payments_24h,
        "merchant_risk": merchants["risk"][merchant],
        "log_merchant_age": np.log(merchants["age"][merchant] + time / _DAY),
        "declined_24h": past.total(paid["declined"], 24),
        "used_of_limit": np.minimum(past.total(amount, 24 * 30) / owners["limit"][card], 1.5),
        "card_age": owners["age"][card] + time / _DAY / 365,
        "grocery": trade == _GROCERY,
        "travel": trade == _TRAVEL,
        "electronics": trade == _ELECTRONICS,
    }


class _Past:
    """Sums over each card's last hours, this payment included; for payments in order of time."""

    def __init__(self, card: npt.NDArray[Any], time: Floats) -> None:
        self._order = np.lexsort((time, card))
        self._card, self._time = card[self._order], time[self._order]
        self._first = np.append(True, self._card[1:] != self._card[:-1])
        # One axis on which the cards lie behind each other, further apart than any window reaches.
        self._place = self._card * 1e6 + self._time

    def count(self, hours: float) -> Floats:
        return self._back(np.arange(len(self._place)) + 1.0 - self._start(hours))

    def total(self, values: npt.NDArray[Any], hours: float) -> Floats:
        sums = np.concatenate([[0.0], np.cumsum(values[self._order], dtype=np.float64)])
        return self._back(np.maximum(sums[1:] - sums[self._start(hours)], 0))

    def since_last(self) -> Floats:
        """Hours since the card's last payment, a month for its first."""
        return self._back(np.where(self._first, 720.0, np.diff(self._time, prepend=0)))

    def change(self, values: Floats) -> Floats:
        """Difference to the card's last payment, 0 for its first."""
        return self._back(np.where(self._first, 0.0, np.diff(values[self._order], prepend=0)))

    def _start(self, hours: float) -> npt.NDArray[np.intp]:
        return np.searchsorted(self._place, self._place - hours)

    def _back(self, values: Floats) -> Floats:
        """In the order of the payments again."""
        found = np.empty(len(values))
        found[self._order] = values
        return found


def main() -> None:
    """Write the payments into a folder."""
    parser = argparse.ArgumentParser(description="Make card payments, some of them fraud.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    made = make()
    write_csv(folder / "payments.csv", dict(zip(FEATURES, made.values.round(4).T, strict=True)) | {"kind": made.kinds})


if __name__ == "__main__":
    main()
