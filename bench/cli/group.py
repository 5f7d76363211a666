"""How the command line is put together: commands that are imported when they run, shared options.

A command is a function of its own name in a module of its own name, which imports what it needs at
its top. What ``trainfit --help`` says of it stands in the table of :mod:`trainfit.bench.cli.main`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from trainfit._limits import LARGEST_INTEGER, LONGEST_WORKLOAD
from trainfit._text import shown
from trainfit.bench.cli.output import OutputError, check_folder
from trainfit.bench.errors import BenchError

SHARED = ("as_json", "csv", "quiet", "debug")
"""Options of every command, wherever they stand; they set what ``context.obj`` is to do."""

FunctionT = TypeVar("FunctionT", bound=Callable[..., None])


class Lazy(NamedTuple):
    """A command that has not been imported.

    Attributes:
        module: Its module below :mod:`trainfit.bench.cli`.
        help: What it does, in one line.
    """

    module: str
    help: str


class _WithSharedOptions:
    """Of a command or group below the root, whose shared options it takes as well."""

    def get_params(self, ctx: Any) -> list[Any]:
        own: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        return [*own, *(each for each in ctx.find_root().command.params if each.name in SHARED)]


class Command(_WithSharedOptions, TyperCommand):
    """A command that takes the shared options, and no number or text that is beyond all measure."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As any command.

        Raises:
            OptionError: A value is larger than anything that can be meant.
        """
        rest: list[str] = super().parse_args(ctx, args)
        for name, given in ctx.params.items():
            for value in given if isinstance(given, list | tuple) else (given,):
                _refuse_excess(name, value)
        return rest


class OptionError(BenchError):
    """The value of an option cannot be meant."""


def _refuse_excess(name: str, value: Any) -> None:
    option = f"--{name.replace('_', '-')}"
    if isinstance(value, float) and not math.isfinite(value):
        raise OptionError(f"{option} {value}: write a finite number")
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        raise OptionError(f"{option} {shown(value)}: write at most {LARGEST_INTEGER:,}")
    if isinstance(value, str) and len(value) > LONGEST_WORKLOAD:
        raise OptionError(
            f"{option} {shown(value)}: has {len(value):,} characters, at most"
            f" {LONGEST_WORKLOAD:,} are read"
        )


class CommandGroup(_WithSharedOptions, TyperGroup):
    """A command with commands of its own, all of which take the shared options."""


class _Listed(TyperCommand):
    """A command as the list of commands shows it: its line whole, however long it is."""

    def get_short_help_str(self, limit: int = 0) -> str:
        """What it does, never cut."""
        return self.help or ""


class LazyGroup(TyperGroup):
    """The root: lists its commands without importing them, and imports the one that runs."""

    lazy: Mapping[str, Lazy] = {}

    def __init__(self, **settings: Any) -> None:
        names = {name: _Listed(name, help=each.help) for name, each in self.lazy.items()}
        super().__init__(**settings | {"commands": names})

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """The command that the first argument names, imported."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, imported(str(name), self.lazy[str(name)].module), rest


def imported(name: str, module: str) -> Any:
    """A command, after its module has been imported."""
    found = getattr(import_module(f"{__package__}.{module}"), name.replace("-", "_"))
    if isinstance(found, typer.Typer):
        app = found
    else:
        app = application()
        command(app, name)(found)
    return typer.main.get_command(app)


def application(**settings: Any) -> typer.Typer:
    """An application with the settings that all parts of the command line share.

    Help is plain text, so that ``[default: ...]`` is no markup and a pipe gets no boxes.
    """
    return typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, **settings
    )


def command(app: typer.Typer, name: str) -> Callable[[FunctionT], FunctionT]:
    """Decorates a function that becomes a command with the shared options."""
    return app.command(name, cls=Command)


def _flag(name: str, attribute: str, text: str) -> Any:
    """A shared option without a value, which sets an attribute of the output."""

    def note(context: typer.Context, chosen: bool) -> None:
        if chosen:
            setattr(context.obj, attribute, True)

    return typer.Option(name, help=text, callback=note, expose_value=False)


def _note_csv(context: typer.Context, folder: Path | None) -> None:
    """Choose the folder of tables and see that it can be made, before anything takes time.

    Raises:
        OutputError: It cannot be made, or the next option stands in its place.
    """
    if folder is None:
        return
    if str(folder).startswith("-"):
        raise OutputError(f"Option '--csv' requires an argument, a folder; got {folder}")
    context.obj.csv_folder = check_folder(folder)


JsonOption = Annotated[
    bool, _flag("--json", "as_json", "One JSON document on stdout instead of tables.")
]
QuietOption = Annotated[bool, _flag("--quiet", "quiet", "No output but errors.")]
DebugOption = Annotated[bool, _flag("--debug", "debug", "Traceback of a fault in trainfit itself.")]
CsvOption = Annotated[
    Path | None,
    typer.Option(
        "--csv",
        metavar="DIR",
        help="Folder that every table is also written to as CSV, e.g. tables.",
        callback=_note_csv,
        expose_value=False,
    ),
]
