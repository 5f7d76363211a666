"""What FF-INT8 published, beside what frames say."""

import pandas as pd
import pytest

from tests.plots import paper_frames as made
from tests.plots.images import assert_like_baseline
from trainfit.plots import MissingDataError
from trainfit.plots.drawing.tables import latex_table, markdown_table
from trainfit.plots.figures.ff_int8 import convergence as ff_int8_convergence
from trainfit.plots.figures.ff_int8 import depth as ff_int8_depth
from trainfit.plots.figures.ff_int8 import operations as ff_int8_operations
from trainfit.plots.figures.ff_int8 import table_v as ff_int8_table_v
from trainfit.plots.papers.published import TABLE_IV, TABLE_V
from trainfit.plots.papers.rows import sizes_of
from trainfit.plots.tables.ff_int8 import depth as table_ff_int8_depth
from trainfit.plots.tables.ff_int8 import operations as table_ff_int8_operations
from trainfit.plots.tables.ff_int8 import table_v as table_ff_int8_table_v


def by(frame, column):
    return frame.set_index(column)


def test_the_published_order_of_energy():
    energies = {rule: column.joules for rule, column in TABLE_V["MLP"].items()}
    assert sorted(energies, key=energies.get) == ["FF-INT8", "INT8", "UI8", "GDAI8", "FP32"]


def test_the_published_means():
    """What the paper prints: 38.7 % less memory than FP32; against GDAI8 24.5 %, not its 27.0."""

    def saved(base):
        cuts = [1 - m["FF-INT8"].megabytes / m[base].megabytes for m in TABLE_V.values()]
        return 100 * sum(cuts) / len(cuts)

    assert saved("FP32") == pytest.approx(38.7, abs=0.06)
    assert saved("GDAI8") == pytest.approx(24.5, abs=0.06)
    assert TABLE_IV["FF-INT8"].macs / TABLE_IV["FP32"].macs == pytest.approx(0.0265, abs=1e-4)


@pytest.mark.parametrize(
    ("model", "sizes"),
    [
        ("mlp-784-500x2-10", (784, 500, 500, 10)),
        ("mlp-784-10", (784, 10)),
        ("lc-1x28x28-16-10", ()),
        ("mlp-784-w-10", ()),
    ],
)
def test_the_sizes_of_a_net(model, sizes):
    assert sizes_of(model) == sizes


# ---- Table V ---------------------------------------------------------------------------------


def test_table_v_takes_the_plain_form_without_momentum():
    rows = by(ff_int8_table_v.numbers(made.table_v()), "rule")
    assert rows.loc["FP32", "ram_bytes"] == 10_000_000
    assert rows.loc["INT8", "ram_ratio"] == pytest.approx(0.25)
    assert rows.loc["FF-INT8", "ram_bytes"] == 2_400_000
    assert rows.loc["FF-INT8, no look-ahead", "ram_bytes"] == 2_300_000
    assert rows.loc["INT8", "published_megabytes_ratio"] == pytest.approx(213.9 / 247.6)
    assert rows.loc["INT8", "ram_over_published_ratio"] == pytest.approx(0.25 / (213.9 / 247.6))


def test_table_v_compares_like_ends_of_modelled_intervals():
    rows = by(ff_int8_table_v.numbers(made.table_v()), "rule")
    assert rows.loc["INT8", "modelled_seconds_low_ratio"] == pytest.approx(0.2)
    assert rows.loc["INT8", "modelled_seconds_high_ratio"] == pytest.approx(15)
    assert rows.loc["INT8", "step_seconds_median_ratio"] == pytest.approx(3)
    assert pd.isna(rows.loc["UI8", "modelled_seconds_low"])


def test_table_v_has_means_and_deviations_over_seeds():
    rows = by(ff_int8_table_v.numbers(made.table_v()), "rule")
    assert rows.loc["INT8", "test_accuracy"] == pytest.approx(0.65)
    assert rows.loc["INT8", "test_accuracy_deviation"] == pytest.approx(0.0707, abs=1e-4)
    assert rows.loc["INT8", "seeds"] == 2
    assert pd.isna(rows.loc["FP32", "test_accuracy_deviation"])


def test_everything_that_shows_dai8_says_that_it_stands_in():
    words = "DAI8 for GDAI8"
    assert words in set(ff_int8_table_v.numbers(made.table_v())["rule"])
    assert words in set(table_ff_int8_table_v.numbers(made.table_v())["rule"])
    assert words in set(table_ff_int8_operations.numbers(made.operations())["rule"])
    assert words in set(ff_int8_operations.numbers(made.operations())["remark"])
    assert words in table_ff_int8_table_v.CAPTION
    assert words in table_ff_int8_operations.CAPTION


def test_table_v_needs_fp32_and_another_rule():
    frame = made.table_v()
    for missing in (
        frame[frame["algorithm"] != "backprop"],
        frame[frame["algorithm"] == "backprop"],
    ):
        with pytest.raises(MissingDataError, match=r"784-1000-1000-10.*paper-ff-int8"):
            ff_int8_table_v.numbers(missing)


def test_table_v_looks_as_it_did(tmp_path):
    figure = ff_int8_table_v.draw(ff_int8_table_v.numbers(made.table_v()))
    assert len(figure.axes) == 4
    assert_like_baseline(figure, "ff_int8_table_v", tmp_path)


def test_table_v_of_bytes_alone_is_one_panel():
    frame = made.table_v().filter(regex=r"^(?!modelled)").assign(test_accuracy=None)
    assert len(ff_int8_table_v.draw(ff_int8_table_v.numbers(frame), columns=1).axes) == 1


# ---- Table I ---------------------------------------------------------------------------------


def test_depth_shows_the_longest_training_over_its_seeds():
    rows = ff_int8_depth.numbers(made.depth())
    ours = rows[(rows["source"] == "here") & (rows["number_format"] == "INT8")]
    assert list(ours["test_accuracy"]) == pytest.approx([0.89, 0.79, 0.69])
    assert list(ours["lost_points"]) == pytest.approx([1, 12, 23])
    assert set(ours["seeds"]) == {2}
    theirs = rows[(rows["source"] == "published") & (rows["hidden_layers"] == 2)]
    assert list(theirs["lost_points"]) == pytest.approx([32.1, 32.1])


def test_depth_as_a_table():
    table = by(table_ff_int8_depth.numbers(made.depth()), "hidden_layers")
    assert table.loc[1, "int8_accuracy"] == pytest.approx(0.79)
    assert table.loc[1, "published_int8_accuracy"] == pytest.approx(0.738)
    assert pd.isna(table.loc[3, "int8_accuracy"])
    assert "79.00 ± 1.41" in markdown_table(table.reset_index())


def test_depth_needs_both_formats():
    frame = made.depth()
    with pytest.raises(MissingDataError, match="mnist-int8-depth"):
        ff_int8_depth.numbers(frame[frame["algorithm"] == "backprop"])


def test_depth_looks_as_it_did(tmp_path):
    figure = ff_int8_depth.draw(ff_int8_depth.numbers(made.depth()))
    assert_like_baseline(figure, "ff_int8_depth", tmp_path)


# ---- Fig. 6 ----------------------------------------------------------------------------------


def test_convergence_shows_the_longest_training_of_a_mode():
    rows = ff_int8_convergence.numbers(made.convergence())
    off = rows[(rows["look_ahead"] == "off") & (rows["source"] == "here")]
    assert list(off["pass"]) == [5, 10, 15]
    assert list(off["test_accuracy"]) == pytest.approx([0.91, 0.945, 0.96])
    on = rows[(rows["look_ahead"] == "true") & (rows["source"] == "here")]
    assert on["test_accuracy"].max() == pytest.approx(0.97)
    assert on["test_accuracy_deviation"].isna().all()
    assert set(rows.loc[rows["source"] == "published", "pass"]) == {130, 180}


def test_convergence_needs_a_training_of_the_mlp():
    frame = made.convergence()
    with pytest.raises(MissingDataError, match="mnist-ff-int8"):
        ff_int8_convergence.numbers(frame[frame["model"] != made.MLP])


def test_convergence_looks_as_it_did(tmp_path):
    figure = ff_int8_convergence.draw(ff_int8_convergence.numbers(made.convergence()))
    assert_like_baseline(figure, "ff_int8_convergence", tmp_path)


# ---- Table IV --------------------------------------------------------------------------------


def test_operations_add_up_over_phases_that_refine_no_other():
    rows = ff_int8_operations.numbers(made.operations())
    ours = by(rows[rows["model"] == made.MLP], "rule")
    assert ours.loc["FP32", "macs"] == 30_000_000
    assert ours.loc["FF-INT8", "macs"] == 45_000_000
    assert ours.loc["FF-INT8", "fp32_ratio"] == pytest.approx(1.5)
    assert ours.loc["FF-INT8", "number_format"] == "int8"
    assert set(rows.loc[rows["source"] == "here", "evidence"]) == {"analytic"}
    assert list(dict.fromkeys(rows["model"])) == [made.MLP, "mlp-784-500x3-10", "not stated"]


def test_operations_need_batches_of_ten():
    with pytest.raises(MissingDataError, match="batch_size = 10"):
        ff_int8_operations.numbers(made.operations().assign(batch_size=32))


def test_operations_look_as_they_did(tmp_path):
    figure = ff_int8_operations.draw(ff_int8_operations.numbers(made.operations()))
    assert_like_baseline(figure, "ff_int8_operations", tmp_path)


def test_tables_are_written_in_every_format():
    for module, frame in (
        (table_ff_int8_table_v, made.table_v()),
        (table_ff_int8_depth, made.depth()),
        (table_ff_int8_operations, made.operations()),
    ):
        table = module.numbers(frame)
        assert module.TITLE
        assert latex_table(table, "t", caption=module.CAPTION).count(r"\\") == len(table) + 1
