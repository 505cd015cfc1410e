"""The script `aez`, and `python -m aez`: the command, behind what cannot wait until all of it is imported."""

import sys

from aez.daemon.common.hangup import note_hangups

__all__ = ["main"]


def main() -> None:
    """Run the command; a monitor is not ended by the SIGHUP that asks it to reload, however early that comes."""
    if sys.argv[1:3] == ["monitor", "run"]:
        note_hangups()
    from aez.cli import main as command

    command()


if __name__ == "__main__":
    main()
