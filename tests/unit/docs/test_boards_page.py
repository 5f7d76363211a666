"""The page about boards: what it says is what the prediction says now, and where nothing fits."""

from __future__ import annotations

import pytest

import boards_page
from trainfit.bench.sizing.predicted_workload import predicted_workload
from trainfit.bench.suite.workload_text import parse_workload
from trainfit.hardware_profiles import load_device

# The whole page takes minutes; of every net one rule.
SOME = {
    "lenet5-1x28x28-10": "sparse_update[frozen=flash,layers=last:1,momentum=0]",
    "ds_cnn-1x49x10-12": "sparse_update[frozen=flash,layers=last:4,momentum=0]",
    "resnet8-3x32x32-10": "backprop_int8",
    "mobilenet_v1_025-3x96x96-2": "tinyfoa[slices=16]",
}


@pytest.mark.parametrize("net", boards_page.NETS)
def test_rows_of_the_page_are_current(net: str) -> None:
    head, _, row = boards_page.net_table(net, (SOME[net],)).splitlines()
    section = boards_page.PAGE.read_text("utf-8").split(f"### `{net}`\n\n")[1].split("\n\n")[0]
    assert section.splitlines()[0] == head
    assert row in section.splitlines()


def test_what_was_learned_is_current() -> None:
    assert f"\n\n{boards_page.learned()}\n\n" in boards_page.PAGE.read_text("utf-8")


def test_every_net_has_all_rules() -> None:
    text = boards_page.PAGE.read_text("utf-8")
    assert all(f"### `{net}`\n" in text for net in boards_page.NETS)
    assert all(text.count(f"| `{rule}` |") == len(boards_page.NETS) for rule in boards_page.RULES)


def test_the_largest_batch_fits_and_the_next_does_not() -> None:
    board = load_device("stm32f746")
    row = boards_page.net_table("lenet5-1x28x28-10", ("backprop_int8",), (board,)).splitlines()[-1]
    batch = int(row.split("|")[3])
    needs = [
        predicted_workload(
            parse_workload(f"backprop_int8 lenet5-1x28x28-10 synthetic-1x28x28-10 b{size}")
        ).ram_on(board)
        for size in (batch, batch + 1)
    ]
    assert board.usable_ram_bytes is not None
    assert needs[0] <= board.usable_ram_bytes < needs[1]
