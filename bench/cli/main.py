"""The command line: ``trainfit run`` measures, the other commands list, compare, judge and draw.

Exit codes: 0 all is well, 1 some workloads have no full record or a gate found a regression, 2 the
input is wrong, 3 a fault of trainfit itself or two things that a gate cannot compare, 130
interrupted. A command is imported when it runs, and nothing heavy before.
"""

from __future__ import annotations

import errno
import logging
import sys
import traceback
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from trainfit import __version__
from trainfit._characters import replace_what_cannot_be_shown
from trainfit._imports import forget_current_folder
from trainfit.algorithms.outside import none_but
from trainfit.bench.cli.group import (
    CsvOption,
    DebugOption,
    JsonOption,
    Lazy,
    LazyGroup,
    QuietOption,
    application,
)
from trainfit.bench.cli.output import Output, complain, running
from trainfit.bench.errors import BenchError
from trainfit.hardware_profiles.errors import ProfileError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

COMMANDS = {
    "run": Lazy("run", "Measure a suite and judge its workloads against devices."),
    "fit": Lazy("fit", "Say if an algorithm fits on a device, or what size does."),
    "recommend": Lazy("recommend", "Rank what could be trained on a device for a data set."),
    "check": Lazy("check", "Check every promise of an algorithm; exit 1 if one is broken."),
    "compare": Lazy("compare", "Compare two workloads: bytes of a step, or its time."),
    "gate": Lazy("gate", "Compare bytes with a golden file; exit 1 on any change."),
    "gate-benchmark": Lazy(
        "gate_benchmark", "Compare bytes in a JSON file of pytest-benchmark with a golden file."
    ),
    "compare-revisions": Lazy(
        "compare_revisions", "Compare step times with another revision; exit 1 if slower."
    ),
    "plot": Lazy("plot", "Draw the figures and tables of runs."),
    "paper": Lazy("paper", "Reproduce the figures, tables and claims of a paper."),
    "claims": Lazy("claims", "Compare the claims of papers with records."),
    "tune": Lazy("tune", "Choose the rate of every rule by held-out samples."),
    "download": Lazy("download", "Fetch the files of a data set, or list what there is."),
    "algorithms": Lazy("lists.algorithms", "List algorithms with their options and papers."),
    "models": Lazy("lists.models", "List model families and how their names are formed."),
    "datasets": Lazy("lists.datasets", "List data sets: their sizes and where they come from."),
    "devices": Lazy("lists.devices", "List devices, or show every figure of one."),
    "suites": Lazy("lists.suites", "List the suites that come with trainfit."),
    "figures": Lazy("lists.figures", "List the figures and tables that trainfit plot makes."),
    "sensors": Lazy("lists.sensors", "List energy sensors, and why some cannot be read here."),
}
"""Every command, in the order of ``trainfit --help``."""


class Root(LazyGroup):
    """The command ``trainfit``."""

    lazy = COMMANDS


app = application(
    name="trainfit",
    cls=Root,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(chosen: bool) -> None:
    """Print the versions that bytes depend on, and end."""
    if not chosen:
        return
    try:
        torch = version("torch")  # of its metadata: importing it takes seconds
    except PackageNotFoundError:
        torch = "not installed"
    print(f"trainfit {__version__} (torch {torch})")
    raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Versions of trainfit and torch.",
            callback=_show_version,
            is_eager=True,
        ),
    ] = False,
    as_json: JsonOption = False,
    csv: CsvOption = None,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Which training algorithm fits on this device, and how do we know?

    Start with trainfit run, which measures the suite quick in under a minute. trainfit COMMAND
    --help describes a command.
    """
    # What a command reads names no code that runs: options permit what they name themselves.
    context.with_resource(none_but())


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code."""
    if arguments is None:  # a program of its own, started by whatever put this folder on the path
        forget_current_folder()
    given = sys.argv[1:] if arguments is None else arguments
    replace_what_cannot_be_shown([sys.stdout, sys.stderr])
    # It warns when it builds its cache of fonts, once per machine, and where it may not keep one:
    # the figures are the same, and nobody has to act on that.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    if not _has_current_folder():  # torch itself ends the process there
        _say("the current folder is no longer there; change to another one")
        sys.exit(2)
    with running(Output(csv_at_end=True)) as output:
        try:
            code = app(given or ["--help"], prog_name="trainfit", standalone_mode=False, obj=output)
            output.finish()
        except (KeyboardInterrupt, typer.Abort):
            code = INTERRUPTED
        except Exception as error:  # the last line of defence: a traceback only with --debug
            code = _explain(error)
            if output.debug:
                traceback.print_exc()
    if code == INTERRUPTED:  # typer, too, turns the exception into this number
        kept = "; what was measured is kept, --resume --out DIR goes on with it"
        _say("interrupted" + (kept if "run" in given else ""))
    sys.exit(code if isinstance(code, int) else 0)


def _explain(error: Exception) -> int:
    """Say in one line on stderr what went wrong; returns the exit code."""
    known = sys.modules.get("trainfit.algorithms.errors")  # not imported: nobody can have raised it
    inputs = (BenchError, ProfileError, *((known.ConfigurationError,) if known else ()))
    if isinstance(error, inputs):
        _say(str(error))
        return 2
    if hasattr(error, "format_message"):  # click's usage errors, whichever click typer brings
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "trainfit"
        _say(f"{error.format_message()} (see {command} --help)")
        return 2
    if isinstance(error, OSError) and error.errno in _OF_FILES:
        about = f"{error.filename}: " if error.filename else ""
        _say(f"{about}{error.strerror}; give another file or folder")
        return 2
    _say(f"fault in trainfit: {type(error).__name__}: {error} (--debug shows the traceback)")
    return 3


_OF_FILES = (
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENOTDIR, errno.EISDIR, errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
)
"""What a system says of a file or folder that the user named, and that cannot be used."""


def _has_current_folder() -> bool:
    try:
        return Path.cwd().is_dir()
    except OSError:
        return False


def _say(message: str) -> None:
    complain(message)


if __name__ == "__main__":
    main()
