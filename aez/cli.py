"""The command `aez`: its subcommands, and one place that turns every error into a sentence and an exit code."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, NoReturn

import click

from aez import messages
from aez.codec.errors import AezError
from aez.commands.bench import bench
from aez.commands.codec.decode import decode
from aez.commands.codec.encode import encode
from aez.commands.codec.info import info
from aez.commands.codec.models import models
from aez.commands.codec.verify import verify
from aez.commands.codec.view import view
from aez.commands.collection.command import collection
from aez.commands.detect.score import score
from aez.commands.latent.embed import embed
from aez.commands.latent.interpolate import interpolate
from aez.commands.latent.reconstruct import reconstruct
from aez.commands.latent.sample import sample
from aez.commands.monitor import monitor
from aez.commands.train import train
from aez.commands.vectors.denoise import denoise
from aez.commands.vectors.explore import explore
from aez.commands.vectors.look import look
from aez.commands.vectors.similar import similar

EXIT_USAGE = 2
EXIT_INTERRUPTED = 128 + signal.SIGINT

EPILOG = """
\b
Exit codes:
  0    everything was done
  1    several files were given, and some failed (they are listed)
  2    wrong arguments, or a target that cannot be reached
  3    a damaged or cut-off .aez file, or one that needs a newer aez
  4    a model that is missing, damaged, or not the right one
  5    an input that is no picture or no series, or cannot be read
  6    a result that cannot be written, or exists already
  70   a defect of aez; AEZ_DEBUG=1 shows the traceback
  130  interrupted; no file is left half-written
"""


class Program(click.Group):
    """The command group whose errors end in one sentence on standard error and a documented exit code."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run, and leave the interpreter with the exit code unless `standalone_mode` is off."""
        run: Callable[..., Any] = partial(super().main, *args, standalone_mode=False, **extra)
        if not standalone_mode:
            return run()
        with _ended_by_signals():
            sys.exit(_exit_code(run))


def _exit_code(run: Callable[[], Any]) -> int:
    """Run a command and say in one sentence what went wrong."""
    try:
        returned = run()
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return EXIT_USAGE
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else "aez"
        messages.error(f"{_sentence(error.format_message())}; see {command} --help")
        return EXIT_USAGE
    except click.ClickException as error:
        messages.error(_sentence(error.format_message()))
        return error.exit_code
    except click.Abort:
        messages.error("interrupted; no file is left half-written")
        return EXIT_INTERRUPTED
    except AezError as error:
        messages.error(str(error))
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - whatever it is, it ends in one sentence
        if (ended := _broken_into(error)) is not None:
            return ended
        messages.error(messages.unexpected(error))
        return messages.EXIT_DEFECT
    return returned if isinstance(returned, int) else 0


def _broken_into(error: BaseException | None) -> int | None:
    """The exit code of a signal in whose unwinding this error came up, as of worker processes that it ended too."""
    while error is not None:
        if isinstance(error, SystemExit) and isinstance(error.code, int):
            return error.code
        error = error.__context__
    return None


def _sentence(text: str) -> str:
    """Click's message in the form of the other errors."""
    plain = " ".join(text.split()).removesuffix(".")
    return plain[:1].lower() + plain[1:]


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and a terminal that goes away unwind the stack as Ctrl+C does, so that partial files are removed."""

    def end(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the shape of a handler
        raise SystemExit(128 + number)

    previous = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        # One that is ignored stays so, as nohup wants it, and the monitor has a use of its own for SIGHUP.
        if number == signal.SIGTERM or signal.getsignal(number) == signal.SIG_DFL:
            with contextlib.suppress(ValueError):  # not the main thread: whoever called keeps its handlers
                previous[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@click.group(cls=Program, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="aez", message="%(prog)s %(version)s")
def main() -> None:
    """Compress photographs with a neural network, and watch series of measurements with one."""


COMMANDS: Sequence[click.Command] = (
    encode,
    decode,
    info,
    verify,
    view,
    collection,
    embed,
    reconstruct,
    interpolate,
    sample,
    denoise,
    similar,
    look,
    explore,
    models,
    train,
    score,
    monitor,
    bench,
)
for command in COMMANDS:
    main.add_command(command)
