"""The commands that list what there is: algorithms, models, data sets, devices, suites."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer

from trainfit._text import plain
from trainfit.bench.cli.output import Column, Row, drawn, output
from trainfit.hardware_profiles import device_names, load_device

devices_app = typer.Typer(help="List devices, or show one.", invoke_without_command=True)


OPTION_COLUMNS = (
    Column("algorithm"),
    Column("option", "    option", lambda name: f"    {name}"),
    Column("default", "default"),
    Column("allowed", "allowed"),
)


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (algorithms, models, datasets, suites):
        app.command()(command)
    app.add_typer(devices_app, name="devices")


def algorithms() -> None:
    """List algorithms with their options, defaults and papers."""
    from trainfit.algorithms import algorithm_names, get_algorithm  # noqa: PLC0415  (imports torch)

    found: list[Row] = []
    out = output()
    for name in algorithm_names():
        cls = get_algorithm(name)
        schema = cls.options_type.model_json_schema()
        rows: list[Row] = [
            {
                "algorithm": name,
                "option": option,
                "default": plain(field.default),
                "allowed": _allowed(schema["properties"][option], schema),
            }
            for option, field in cls.options_type.model_fields.items()
        ]
        found += rows
        out.show(f"{name}: {cls.summary}", f"    paper: {cls.paper}")
        out.show(drawn(OPTION_COLUMNS, rows), "")
    out.table("options", OPTION_COLUMNS, found, printed=())


def models() -> None:
    """List model families and how their names are formed."""
    from trainfit.algorithms.models import FAMILIES  # noqa: PLC0415

    rows = [(name, family.form) for name, family in FAMILIES.items()]
    print_table("models", ("family", "name"), rows)


def datasets() -> None:
    """List data sets."""
    from trainfit.algorithms.data import describe_datasets  # noqa: PLC0415

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
    columns = (
        ("dataset", "data set"),
        ("shape", "features / classes"),
        ("samples", "train + test"),
        ("where", "from"),
        ("summary", "what it is"),
    )
    print_table("datasets", columns, rows)


def suites() -> None:
    """List the suites that come with trainfit."""
    from trainfit.bench.suite.suite import load_suite, suite_names  # noqa: PLC0415

    found = [load_suite(name) for name in suite_names()]
    rows = [(suite.name, len(suite.workloads), suite.description) for suite in found]
    columns = ("suite", "workloads", ("description", "what it measures"))
    print_table("suites", columns, rows)


@devices_app.callback()
def devices(context: typer.Context) -> None:
    """List devices, or show one."""
    if context.invoked_subcommand is not None:
        return
    found = [load_device(name) for name in device_names()]
    found.sort(key=lambda device: (device.usable_ram_bytes is None, device.usable_ram_bytes or 0))
    rows = []
    for device in found:
        rows.append((device.name, device.kind, device.usable_ram_bytes, device.title))
    columns = ("device", "kind", ("usable_ram_bytes", "usable RAM bytes"), "title")
    print_table("devices", columns, rows)


@devices_app.command("show")
def show_device(
    device: Annotated[str, typer.Argument(metavar="NAME|FILE", help="The device.")],
) -> None:
    """Show every figure of a device and where it comes from."""
    found = load_device(device)
    output().show(f"{found.name}: {found.title}")
    print_table("figures", ("figure", "value", "source"), found.describe())


def _allowed(shape: dict[str, object], schema: dict[str, dict[str, dict[str, object]]]) -> str:
    """What an option may be, from its JSON schema."""
    reference = shape.get("$ref")
    if isinstance(reference, str):
        shape = schema["$defs"][reference.rpartition("/")[2]]
    choices = shape.get("enum")
    if isinstance(choices, list):
        return " | ".join(plain(choice) for choice in choices)
    words = {
        "minimum": "at least {}",
        "exclusiveMinimum": "more than {}",
        "maximum": "at most {}",
        "exclusiveMaximum": "less than {}",
    }
    limits = [text.format(shape[key]) for key, text in words.items() if key in shape]
    return f"{shape.get('type', 'any')}{', ' if limits else ''}{', '.join(limits)}"


def print_table(
    name: str, columns: Sequence[str | tuple[str, str]], rows: Iterable[Sequence[Any]]
) -> None:
    """Hand a table over whose rows are tuples.

    Args:
        name: Its name for machines.
        columns: Title per column, or (name for machines, title).
        rows: One value per column.
    """
    made = [Column(each, each) if isinstance(each, str) else Column(*each) for each in columns]
    keys = [column.key for column in made]
    output().table(name, made, [dict(zip(keys, row, strict=True)) for row in rows])
