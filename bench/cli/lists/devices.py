"""``trainfit devices`` and ``trainfit devices show NAME``."""

from __future__ import annotations

from typing import Annotated

import typer

from trainfit.bench.cli.group import CommandGroup, application, command
from trainfit.bench.cli.output import output
from trainfit.hardware_profiles import device_names, load_device

devices = application(cls=CommandGroup, invoke_without_command=True)


@devices.callback()
def list_devices(context: typer.Context) -> None:
    """List devices, or show every figure of one.

    The list begins with the least RAM. trainfit devices show NAME adds the source of every figure.
    """
    if context.invoked_subcommand is not None:
        return
    found = [load_device(name) for name in device_names()]
    found.sort(key=lambda device: (device.usable_ram_bytes is None, device.usable_ram_bytes or 0))
    rows = [(each.name, each.kind, each.usable_ram_bytes, each.title) for each in found]
    columns = ("device", "kind", ("usable_ram_bytes", "usable RAM bytes"), "title")
    output().rows("devices", columns, rows)


@command(devices, "show")
def show_device(
    device: Annotated[
        str,
        typer.Argument(metavar="NAME|FILE", help="Name or .toml file of a device, e.g. stm32f746."),
    ],
) -> None:
    """Show every figure of a device and where it comes from."""
    found = load_device(device)
    output().show(f"{found.name}: {found.title}")
    output().rows("figures", ("figure", "value", "source"), found.describe())
