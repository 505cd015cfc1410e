"""The script `aez`, and `python -m aez`: the command, behind what cannot wait until all of it is imported."""

import os
import sys
from pathlib import Path

from aez.daemon.common.hangup import note_hangups

__all__ = ["main"]


def main() -> None:
    """Run the command; a monitor is not ended by the SIGHUP that asks it to reload, however early that comes."""
    _fill_closed_streams()
    if sys.argv[1:3] == ["monitor", "run"]:
        note_hangups()
    from aez.cli import main as command

    command()


def _fill_closed_streams() -> None:
    """Let no file that is opened later take the place of a standard stream that was closed.

    What would be said on standard error is lost then; standard output stays None, which those who need it refuse.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - for as long as the program runs


if __name__ == "__main__":
    main()
