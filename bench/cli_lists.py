"""The commands that list what there is: algorithms, models, data sets, devices, suites."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hardware_profiles import device_names, load_device

WIDTH = 100
"""Columns of what is printed where there is no terminal."""

devices_app = typer.Typer(help="List devices, or show one.", invoke_without_command=True)


def stdout() -> Console:
    """Where results go: a terminal in its own width, anything else as plain text."""
    console = Console(highlight=False)
    if console.is_terminal:
        return console
    return Console(highlight=False, width=WIDTH, color_system=None)


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (algorithms, models, datasets, suites):
        app.command()(command)
    app.add_typer(devices_app, name="devices")


def algorithms() -> None:
    """List algorithms with their options, defaults and papers."""
    from algorithms import algorithm_names, get_algorithm  # noqa: PLC0415  (imports torch)

    for name in algorithm_names():
        cls = get_algorithm(name)
        print(f"{name}: {cls.summary}")
        print(f"    paper: {cls.paper}")
        rows = []
        for option, field in cls.options_type.model_fields.items():
            schema = cls.options_type.model_json_schema()
            shape = schema["properties"][option]
            rows.append((option, _plain(field.default), _allowed(shape, schema)))
        print_table(
            ("    option", "default", "allowed"), [(f"    {row[0]}", *row[1:]) for row in rows]
        )
        print()


def models() -> None:
    """List model families and how their names are formed."""
    from algorithms.models import FAMILIES  # noqa: PLC0415

    print_table(("family", "name"), [(name, family.form) for name, family in FAMILIES.items()])


def datasets() -> None:
    """List data sets."""
    from algorithms.data import describe_datasets  # noqa: PLC0415

    rows = []
    for info in describe_datasets():
        size = "in its files"
        if info.train_samples is not None and info.test_samples is not None:
            size = f"{info.train_samples:,} + {info.test_samples:,}"
        features = "in its name"
        if info.features is not None and info.classes is not None:
            features = f"{info.features:,} / {info.classes}"
        root = "--data-root" if info.needs_data_root else "built in"
        rows.append((info.name, features, size, root, info.summary))
    print_table(("data set", "features / classes", "train + test", "from", "what it is"), rows)


def suites() -> None:
    """List the suites that come with trainfit."""
    from .suite import load_suite, suite_names  # noqa: PLC0415

    found = [load_suite(name) for name in suite_names()]
    rows = [(suite.name, str(len(suite.workloads)), suite.description) for suite in found]
    print_table(("suite", "workloads", "what it measures"), rows)


@devices_app.callback()
def devices(context: typer.Context) -> None:
    """List devices, or show one."""
    if context.invoked_subcommand is not None:
        return
    found = [load_device(name) for name in device_names()]
    found.sort(key=lambda device: (device.usable_ram_bytes is None, device.usable_ram_bytes or 0))
    rows = []
    for device in found:
        ram = device.usable_ram_bytes
        size = "unknown" if ram is None else f"{ram:,}"
        rows.append((device.name, device.kind, size, device.title))
    print_table(("device", "kind", "usable RAM bytes", "title"), rows)


@devices_app.command("show")
def show_device(
    device: Annotated[str, typer.Argument(metavar="NAME|FILE", help="The device.")],
) -> None:
    """Show every figure of a device and where it comes from."""
    found = load_device(device)
    print(f"{found.name}: {found.title}")
    print_table(("figure", "value", "source"), found.describe())


def _allowed(shape: dict[str, object], schema: dict[str, dict[str, dict[str, object]]]) -> str:
    """What an option may be, from its JSON schema."""
    reference = shape.get("$ref")
    if isinstance(reference, str):
        shape = schema["$defs"][reference.rpartition("/")[2]]
    choices = shape.get("enum")
    if isinstance(choices, list):
        return " | ".join(_plain(choice) for choice in choices)
    words = {
        "minimum": "at least {}",
        "exclusiveMinimum": "more than {}",
        "maximum": "at most {}",
        "exclusiveMaximum": "less than {}",
    }
    limits = [text.format(shape[key]) for key, text in words.items() if key in shape]
    return f"{shape.get('type', 'any')}{', ' if limits else ''}{', '.join(limits)}"


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under their titles; only the first column is never broken over lines."""
    console = stdout()
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for index, title in enumerate(head):
        table.add_column(title, overflow="fold", no_wrap=index == 0)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    console.print(table)
