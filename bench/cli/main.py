"""The command line: ``trainfit run`` measures, the other commands list what there is.

Exit codes: 0 all is well, 1 some workloads have no full record or a gate found a regression, 2 the
input is wrong, 3 a fault of trainfit itself or two things that a gate cannot compare, 130
interrupted. Nothing heavy is imported before it is needed.
"""

from __future__ import annotations

import sys
import traceback
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from trainfit.bench.cli import budget_options as cli_budgets
from trainfit.bench.cli import claims as cli_claims
from trainfit.bench.cli import compare as cli_compare
from trainfit.bench.cli import download as cli_download
from trainfit.bench.cli import fit as cli_fit
from trainfit.bench.cli import gate as cli_gate
from trainfit.bench.cli import gate_benchmark as cli_gate_benchmark
from trainfit.bench.cli import lists as cli_lists
from trainfit.bench.cli import paper as cli_paper
from trainfit.bench.cli import plot as cli_plot
from trainfit.bench.cli import recommend as cli_recommend
from trainfit.bench.cli import sensors as cli_sensors
from trainfit.bench.cli.output import Output, configure, output
from trainfit.bench.errors import BenchError, SuiteError

FLAGS = ("--debug", "--json", "--quiet")
"""Options without a value that every command knows."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

app = typer.Typer(
    name="trainfit",
    help="Which training algorithm fits on this device, and how do we know?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
cli_lists.register(app)
cli_claims.register(app)
cli_compare.register(app)
cli_download.register(app)
cli_fit.register(app)
cli_gate.register(app)
cli_gate_benchmark.register(app)
cli_paper.register(app)
cli_plot.register(app)
cli_recommend.register(app)
cli_sensors.register(app)


@app.callback()
def _common(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of a fault in trainfit itself.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of tables.")
    ] = False,
    csv: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write every table into this folder, too, as CSV."),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print nothing but what is wrong.")
    ] = False,
) -> None:
    """Which training algorithm fits on this device, and how do we know?

    --json, --csv, --quiet and --debug may stand before or behind a command.
    """
    configure(Output(quiet=quiet, as_json=as_json, csv_folder=csv))


@app.command()
def run(
    suite: Annotated[
        str | None,
        typer.Argument(
            help="A suite that comes with trainfit, or the path of a .toml file. "
            "[default: quick; with --resume the suite of the run]",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The run folder. [default: runs/SUITE-DATE-TIME]", show_default=False),
    ] = None,
    data_root: Annotated[
        Path | None,
        typer.Option(envvar="TRAINFIT_DATA_ROOT", help="The folder that data sets are read from."),
    ] = None,
    *,
    device: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE", help="Judge against this device, not the suite's; repeatable."
        ),
    ] = None,
    algorithm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|MODULE:CLASS",
            help="Measure this algorithm too, on the suite's defaults; repeatable.",
        ),
    ] = None,
    budget: cli_budgets.BudgetOption = None,
    sensor: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Measure the energy with this one (see trainfit sensors)."
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="This machine is that device: judge its time and energy by what is measured.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the run in --out: measure the workloads that have no record. "
            "A workload that failed has one and is kept as it is.",
        ),
    ] = False,
) -> None:
    """Measure every workload of a suite, judge it against devices, write a run folder.

    Every workload runs in a process of its own. One that crashes, hangs or runs out of memory
    becomes a record that says so, and the rest goes on; the exit code is then 1.
    """
    from trainfit.bench.records.reading import SUITE, read_suite  # noqa: PLC0415
    from trainfit.bench.run.runner import run_suite  # noqa: PLC0415
    from trainfit.bench.suite.manifest import from_manifest, load_devices  # noqa: PLC0415
    from trainfit.bench.suite.suite import load_suite, with_algorithms  # noqa: PLC0415

    if resume and out is None:
        raise SuiteError("--resume needs --out DIR: which run shall go on?")
    if resume and out is not None and suite is None:
        chosen = from_manifest(read_suite(out), source=str(out / SUITE))
        if algorithm:
            raise SuiteError("--algorithm with --resume: name the suite too, as in the first start")
    else:
        chosen = with_algorithms(load_suite(suite or "quick"), algorithm or [])
    if device:
        chosen = chosen.model_copy(update={"devices": device})
    if sensor:
        _require_sensor(sensor)
        chosen = chosen.model_copy(update={"sensor": sensor})
    if host:
        chosen = chosen.model_copy(update={"host": host})
    devices = load_devices(chosen)
    if budget:
        asked = cli_budgets.asked_budgets(budget)
        for each in devices:
            cli_budgets.refuse_contradictions(each, asked)
        texts = cli_budgets.budget_table(budget)
        chosen = chosen.model_copy(update={"budgets": chosen.budgets | texts})
    # A user's own algorithm lies beside them more often than it is installed.
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    out = out or Path("runs") / f"{chosen.name}-{datetime.now():%Y%m%d-%H%M%S}"

    from trainfit.bench.cli.run_progress import RunProgress, show_run  # noqa: PLC0415

    with RunProgress() as progress:
        done = run_suite(chosen, devices, out, progress, data_root=data_root, resume=resume)

    show_run(done)
    if any(record.error for record in done.records):
        raise typer.Exit(1)


def _require_sensor(name: str) -> None:
    """Refuse a sensor that was asked for by name and does not read.

    Raises:
        SensorError: It does not exist, or why it cannot be read.
    """
    from trainfit.bench.sensors import SensorError, Unavailable, open_sensor  # noqa: PLC0415

    found = open_sensor(name)
    if isinstance(found, Unavailable):
        if name != "none":
            raise SensorError(f"--sensor {name}: {found.reason} (trainfit sensors lists them)")
    else:
        found.close()


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    try:
        code = app(_common_first(given), standalone_mode=False)
        output().finish()
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:  # the last line of defence: never a traceback unasked
        code = _explain(error)
        if debug:
            traceback.print_exc()
    if code == INTERRUPTED:  # typer, too, turns the exception into this number
        kept = "; what was measured is kept, --resume --out DIR goes on with it"
        _say("interrupted" + (kept if "run" in given else ""))
    sys.exit(code if isinstance(code, int) else 0)


def _common_first(given: list[str]) -> list[str]:
    """Options of every command, wherever they stand, before the command."""
    first: list[str] = []
    rest: list[str] = []
    words = iter(given)
    for word in words:
        if word == "--":  # what follows is no option, whatever it looks like
            rest += [word, *words]
        elif word in FLAGS or word.startswith("--csv="):
            first.append(word)
        elif word == "--csv":
            folder = next(words, None)
            if folder is None or folder.startswith("-"):
                return [word]  # without its value, which the command line then asks for
            first += [word, folder]
        else:
            rest.append(word)
    return first + rest


def _explain(error: Exception) -> int:
    """Say in one line on stderr what went wrong; returns the exit code."""
    from trainfit.hardware_profiles import ProfileError  # noqa: PLC0415

    known = sys.modules.get("trainfit.algorithms.errors")  # not imported: nobody can have raised it
    inputs = (BenchError, ProfileError, *((known.ConfigurationError,) if known else ()))
    if isinstance(error, inputs):
        _say(str(error))
        return 2
    if hasattr(error, "format_message"):  # click's usage errors, whichever click typer brings
        _say(f"{error.format_message()} (see trainfit --help)")
        return 2
    _say(f"fault in trainfit: {type(error).__name__}: {error} (--debug shows the traceback)")
    return 3


def _say(message: str) -> None:
    print(f"trainfit: {' '.join(message.split())}", file=sys.stderr)


if __name__ == "__main__":
    main()
