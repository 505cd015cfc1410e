"""Blood panels: 20 measurements a person, of healthy people and of ill ones. Made up; nothing here is medical data.

Hidden causes (iron, fluid, the state of liver, kidneys and defences, weight, sex and age) move several measurements at
once, as they do in people: haemoglobin, red cells and haematocrit go together, and so do the liver's enzymes. Means and
scatter are near those of textbooks. One measurement in thirty was not taken.

healthy    whom the detector learns from, and most of those it judges
infection  an ordinary one: more white cells and C-reactive protein
diabetes   more glucose, and what goes with it
rare       a failing adrenal cortex: less sodium and glucose, more potassium, urea and eosinophils, each of them by
           little, so that most values stay within their limits

Usage: python blood_panels_data.py FOLDER writes healthy.csv and patients.csv (with a column `kind`).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from recipe import Floats, write_csv

MEASUREMENTS = (
    "haemoglobin",  # g/dl
    "haematocrit",  # %
    "red_cells",  # 10^12/l
    "cell_volume",  # fl
    "white_cells",  # 10^9/l
    "neutrophils",  # 10^9/l
    "lymphocytes",  # 10^9/l
    "eosinophils",  # 10^9/l
    "platelets",  # 10^9/l
    "sodium",  # mmol/l
    "potassium",  # mmol/l
    "creatinine",  # mg/dl
    "urea",  # mg/dl
    "glucose",  # mg/dl
    "alanine_transaminase",  # U/l
    "aspartate_transaminase",  # U/l
    "alkaline_phosphatase",  # U/l
    "bilirubin",  # mg/dl
    "albumin",  # g/dl
    "c_reactive_protein",  # mg/l
)
KINDS = ("healthy", "infection", "diabetes", "rare")
#: Shares among the people who are judged.
SHARES = (0.898, 0.05, 0.05, 0.002)
MISSING = 1 / 30


@dataclass(frozen=True, eq=False)
class Panels:
    """Values [person, measurement] with NaN where none was taken, and kinds [person]."""

    values: Floats
    kinds: npt.NDArray[np.str_]


def make(healthy: int = 12_000, patients: int = 30_000, seed: int = 0) -> tuple[Panels, Panels]:
    """(Healthy people to learn from, people to judge)."""
    rng = np.random.default_rng(seed)
    counts = np.round(np.array(SHARES) * patients).astype(int)
    kinds = rng.permutation(np.repeat(KINDS, counts))
    return _people(np.full(healthy, "healthy"), rng), _people(kinds, rng)


def _people(kinds: npt.NDArray[np.str_], rng: np.random.Generator) -> Panels:
    n = len(kinds)

    def normal() -> Floats:
        return rng.normal(size=n)

    infection, diabetes, rare = ((kinds == kind) * rng.gamma(4, 0.25, n) for kind in ("infection", "diabetes", "rare"))
    male, age = rng.integers(0, 2, n), rng.uniform(18, 85, n)
    iron, fluid, liver, kidney, weight = (normal() for _ in range(5))
    defence = normal() + 1.8 * infection
    older = (age - 50) / 20
    # Measurements follow from the causes; those that scatter by a factor are computed as logarithms.
    haemoglobin = 13.4 + 1.5 * male + 0.7 * iron - 0.25 * fluid - 0.15 * older + 0.25 * normal() - 0.4 * rare
    cell_volume = 90 + 2.6 * iron + 0.6 * older + 2.2 * normal()
    haematocrit = 2.95 * haemoglobin + 0.35 * normal()
    neutrophils = np.exp(1.35 + 0.22 * defence + 0.18 * normal() - 0.1 * rare)
    lymphocytes = np.exp(0.65 - 0.05 * defence + 0.25 * normal() + 0.2 * rare)
    eosinophils = np.exp(-1.9 + 0.45 * normal() + 0.7 * rare - 0.3 * infection)
    alanine = np.exp(3.1 + 0.15 * male + 0.28 * liver + 0.08 * weight + 0.15 * normal() + 0.15 * diabetes)
    values = {
        "haemoglobin": haemoglobin,
        "haematocrit": haematocrit,
        "red_cells": 10 * haematocrit / cell_volume + 0.05 * normal(),
        "cell_volume": cell_volume,
        "white_cells": neutrophils + lymphocytes + eosinophils + np.exp(-0.75 + 0.2 * normal()),
        "neutrophils": neutrophils,
        "lymphocytes": lymphocytes,
        "eosinophils": eosinophils,
        "platelets": np.exp(5.5 + 0.18 * normal() - 0.06 * iron + 0.05 * defence),
        "sodium": 140 + 1.6 * normal() - 0.7 * fluid - 0.4 * diabetes - 3.4 * rare,
        "potassium": 4.25 + 0.28 * normal() + 0.08 * kidney + 0.55 * rare,
        "creatinine": np.exp(-0.22 + 0.22 * male + 0.12 * kidney + 0.05 * older + 0.08 * normal()),
        "urea": np.exp(3.4 + 0.15 * kidney + 0.1 * older - 0.05 * fluid + 0.18 * normal() + 0.3 * rare),
        "glucose": np.exp(4.5 + 0.05 * weight + 0.03 * older + 0.07 * normal() + 0.45 * diabetes - 0.15 * rare),
        "alanine_transaminase": alanine,
        "aspartate_transaminase": np.exp(0.55 + 0.8 * np.log(alanine) + 0.12 * normal()),
        "alkaline_phosphatase": np.exp(4.2 + 0.14 * liver + 0.05 * older + 0.2 * normal()),
        "bilirubin": np.exp(-0.55 + 0.1 * male + 0.3 * normal() + 0.05 * liver),
        "albumin": 4.35 - 0.12 * older - 0.08 * fluid + 0.22 * normal() - 0.25 * infection,
        "c_reactive_protein": np.exp(
            0.3 + 0.3 * weight + 0.45 * (defence - 1.8 * infection) + 0.6 * normal() + 2.4 * infection
        ),
    }
    table = np.stack([values[name] for name in MEASUREMENTS], axis=1)
    table[rng.random(table.shape) < MISSING] = np.nan
    return Panels(table, kinds)


def main() -> None:
    """Write the panels into a folder."""
    parser = argparse.ArgumentParser(description="Make blood panels of people who do not exist.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, panels in zip(("healthy", "patients"), make(), strict=True):
        columns = dict(zip(MEASUREMENTS, panels.values.round(3).T, strict=True))
        write_csv(folder / f"{name}.csv", {**columns, "kind": panels.kinds})


if __name__ == "__main__":
    main()
