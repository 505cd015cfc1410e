"""Make the two detectors that the measurements use: `python -m aez.bench.monitor.train_models [FOLDER]`.

Needs `pip install 'aez[train]'`; takes a minute. FOLDER is by default the one that the package ships. `satellites.aezm`
watches the simulator's eight channels, `flows.aezm` the 20 features of `aez.bench.load.rows`; both are PCA.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from aez.bench.load.rows import Rows, write
from aez.daemon.simulate.lines import encode
from aez.daemon.simulate.satellites import Simulation

_SATELLITES, _ROWS = 24, 3000


def main(folder: Path) -> None:
    """Write both bundles."""
    with tempfile.TemporaryDirectory(prefix="aez-bench-") as scratch:
        place = Path(scratch)
        simulation = Simulation(streams=_SATELLITES)
        for block in simulation.blocks(_ROWS):
            path = place / f"{block.stream}.csv"
            with path.open("ab") as file:
                file.write(encode(block, "csv", header=block.first_row == 0))
        _train(folder / "satellites.aezm", sorted(place.glob("sat-*.csv")), window=4)
        for seed in range(4):
            write(Rows(20_000, streams=1, seed=1000 + seed, every=0), place / f"flow-{seed}.csv", "csv")
        _train(folder / "flows.aezm", sorted(place.glob("flow-*.csv")), window=4)


def _train(output: Path, data: list[Path], window: int) -> None:
    command = [sys.executable, "-m", "aez", "train", "series", *map(str, data), "--force"]
    options = ["--ignore", "stream", "--window", str(window), "--seed", "0", "--device", "cpu"]
    with tempfile.TemporaryDirectory(prefix="aez-bench-") as scratch:
        made = Path(scratch) / output.name
        subprocess.run([*command, *options, "-o", str(made)], check=True)
        output.write_bytes(made.read_bytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("models"))
