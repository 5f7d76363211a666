"""Write the tables of docs/boards.md: what trains the nets of microcontrollers on which board."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from generated_section import ROOT, Section, table
from trainfit.algorithms import complete_name
from trainfit.algorithms.errors import ConfigurationError
from trainfit.bench.records.reading import read_records
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.judged import Judged
from trainfit.bench.sizing.largest import Dimension, reach
from trainfit.bench.sizing.predicted_workload import predicted_workload
from trainfit.bench.suite.workload_text import parse_workload
from trainfit.hardware_profiles import Allocator, Budgets, Device, device_names, load_device

PAGE = ROOT / "docs" / "boards.md"
LEARNED = ROOT / "results" / "runs" / "cifar10-sparse-update"
THREE = ("nrf52840", "stm32f746", "stm32h743")

NETS = (
    "lenet5-1x28x28-10",
    "ds_cnn-1x49x10-12",
    "resnet8-3x32x32-10",
    "mobilenet_v1_025-3x96x96-2",
)

RULES = (
    "backprop[momentum=0]",
    "backprop[momentum=0,update=fused]",
    "backprop[checkpoint=1,momentum=0,update=product]",
    "backprop_int8",
    "local_head[momentum=0]",
    "forward_forward[momentum=0]",
    "ff_int8",
    "tinyfoa[slices=16]",
    "zeroth_order",
    "mem_pepita[momentum=0]",
    "sparse_update[frozen=flash,layers=last:1,momentum=0]",
    "sparse_update[frozen=flash,layers=last:2,momentum=0]",
    "sparse_update[frozen=flash,layers=last:4,momentum=0]",
)


def boards() -> list[Device]:
    """Those whose memory is planned, least RAM first."""
    devices = (load_device(name) for name in device_names())
    planned = [each for each in devices if each.allocator is Allocator.ARENA]
    return sorted(planned, key=lambda each: each.usable_ram_bytes)


def net_table(net: str, rules: Sequence[str] = RULES, devices: Sequence[Device] = ()) -> str:
    """A row per rule: RAM of the smallest batch, and the largest batch on each board."""
    on = devices or boards()
    rows = [_row(parse_workload(f"{rule} {net} {_data(net)} b1"), rule, on) for rule in rules]
    heads = (f"{each.name} {(each.usable_ram_bytes or 0) // 1024}" for each in on)
    return table(" | ".join(["rule", "RAM, batch 1", *heads]), rows)


def _data(net: str) -> str:
    """A data set of its shape."""
    return f"synthetic-{net.split('-', 1)[1]}"


def _row(workload: Workload, rule: str, devices: Sequence[Device]) -> list[str]:
    try:
        one = predicted_workload(workload)
    except ConfigurationError:
        return [f"`{rule}`", "refused", *("" for _ in devices)]
    probes = [reach(workload, each, Dimension.BATCH) for each in devices]
    sizes = ["-" if probe is None else f"{probe.size:,}" for probe in probes]
    return [f"`{rule}`", f"{one.planned.ram_bytes / 1024:,.1f}", *sizes]


def tables() -> str:
    """One per net."""
    return "\n\n".join(f"### `{net}`\n\n{net_table(net)}" for net in NETS)


def learned(run: Path = LEARNED) -> str:
    """What a net learned by rules in batches, and what they need with one sample a step."""
    heads = (f"{name} {(load_device(name).usable_ram_bytes or 0) // 1024}" for name in THREE)
    head = " | ".join(["rule", "RAM, batch 1", *heads, "test accuracy %, batch 32"])
    return table(head, _learned(run))


def _learned(run: Path) -> Iterator[list[str]]:
    for record in read_records(run):
        if record.accuracy is None or record.accuracy.test_accuracy is None:
            continue
        workload = record.workload
        shape, classes = (3, 32, 32), 10  # of CIFAR-10, which need not be here
        model = complete_name(workload.model, shape, classes)
        on_board = {} if "layers" not in workload.options else {"frozen": "flash"}
        changes = {"model": model, "batch_size": 1, "options": workload.options | on_board}
        form = predicted_workload(workload.model_copy(update=changes))
        fits = (Judged.on(form, load_device(name), Budgets()).fits for name in THREE)
        wanted = {key: value for key, value in workload.options.items() if key in _TOLD}
        options = ",".join(f"{key}={value}" for key, value in sorted(wanted.items()))
        yield [
            f"`{workload.algorithm}[{options}]`" if options else f"`{workload.algorithm}`",
            f"{form.planned.ram_bytes / 1024:,.1f}",
            *("fits" if each else "-" for each in fits),
            f"{100 * record.accuracy.test_accuracy:.1f}",
        ]


_TOLD = {"biases", "frozen", "layers", "momentum"}
"""Options that matter for memory."""

SECTIONS = (Section(PAGE, "boards", tables), Section(PAGE, "learned", learned))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, 1 if outdated")
    check = parser.parse_args().check
    sys.exit(max(section.rewrite(check=check) for section in SECTIONS))
