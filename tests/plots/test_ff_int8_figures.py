"""What FF-INT8 published, beside what frames say."""

import pandas as pd
import pytest

from tests.plots import paper_frames as made
from tests.plots.frames import MLP, numbers
from tests.plots.images import assert_like_baseline
from trainfit.plots import MissingDataError
from trainfit.plots.drawing.tables import latex_table, markdown_table
from trainfit.plots.figures.ff_int8 import convergence as ff_int8_convergence
from trainfit.plots.figures.ff_int8 import depth as ff_int8_depth
from trainfit.plots.figures.ff_int8 import operations as ff_int8_operations
from trainfit.plots.figures.ff_int8 import table_v as ff_int8_table_v
from trainfit.plots.papers.published import TABLE_IV, TABLE_V
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


# ---- Table V ---------------------------------------------------------------------------------


def test_table_v_takes_the_plain_form_without_momentum():
    rows = by(numbers(ff_int8_table_v, *made.table_v()), "rule")
    assert rows.loc["FP32", "ram_bytes"] == 10_000_000
    assert rows.loc["INT8", "ram_ratio"] == pytest.approx(0.25)
    assert rows.loc["FF-INT8", "ram_bytes"] == 2_400_000
    assert rows.loc["FF-INT8, no look-ahead", "ram_bytes"] == 2_300_000
    assert rows.loc["INT8", "published_megabytes_ratio"] == pytest.approx(213.9 / 247.6)
    assert rows.loc["INT8", "ram_over_published_ratio"] == pytest.approx(0.25 / (213.9 / 247.6))


def test_table_v_compares_like_ends_of_modelled_intervals():
    rows = by(numbers(ff_int8_table_v, *made.table_v()), "rule")
    assert rows.loc["INT8", "modelled_seconds_low_ratio"] == pytest.approx(0.2)
    assert rows.loc["INT8", "modelled_seconds_high_ratio"] == pytest.approx(15)
    assert rows.loc["INT8", "step_seconds_median_ratio"] == pytest.approx(3)
    assert pd.isna(rows.loc["UI8", "modelled_seconds_low"])


def test_table_v_has_means_and_deviations_over_seeds():
    rows = by(numbers(ff_int8_table_v, *made.table_v()), "rule")
    assert rows.loc["INT8", "test_accuracy"] == pytest.approx(0.65)
    assert rows.loc["INT8", "test_accuracy_deviation"] == pytest.approx(0.0707, abs=1e-4)
    assert rows.loc["INT8", "seeds"] == 2
    assert rows.loc["FP32", "test_accuracy_deviation"] == 0


def test_table_v_has_accuracies_of_one_experiment():
    """FF-INT8 after 20 passes stood beside float32 after 5, and nothing said so."""
    found = numbers(ff_int8_table_v, *made.table_v())
    rows = by(found, "rule")
    assert pd.isna(rows.loc["FF-INT8, no look-ahead", "test_accuracy"])
    assert set(found["epochs"].dropna()) == {5}
    left_out = ["FF-INT8, no look-ahead (passes 20 against 5)"]
    assert found.attrs["left_out"] == left_out
    table = numbers(table_ff_int8_table_v, *made.table_v())
    assert left_out[0] in table.attrs["note"]


def test_table_v_has_times_of_one_run():
    """A faster machine's run of one rule made that rule look fast."""
    other = made.workload("backprop_ui8", run="other", step_seconds_median=1e-9)
    rows = by(numbers(ff_int8_table_v, other, *made.table_v()), "rule")
    assert pd.isna(rows.loc["UI8", "step_seconds_median"])
    assert rows.loc["INT8", "step_seconds_median_ratio"] == pytest.approx(3)


def test_everything_that_shows_dai8_says_that_it_stands_in():
    words = "DAI8 for GDAI8"
    assert words in set(numbers(ff_int8_table_v, *made.table_v())["rule"])
    assert words in set(numbers(table_ff_int8_table_v, *made.table_v())["rule"])
    assert words in set(numbers(table_ff_int8_operations, *made.operations())["rule"])
    assert words in set(numbers(ff_int8_operations, *made.operations())["remark"])
    assert words in table_ff_int8_table_v.CAPTION
    assert words in table_ff_int8_operations.CAPTION


def test_table_v_needs_fp32_and_another_rule():
    for backprop in (True, False):
        rows = [row for row in made.table_v() if (row["algorithm"] == "backprop") is backprop]
        with pytest.raises(MissingDataError, match=r"784-1000-1000-10.*paper-ff-int8"):
            numbers(ff_int8_table_v, *rows)


def test_table_v_looks_as_it_did(tmp_path):
    figure = ff_int8_table_v.draw(numbers(ff_int8_table_v, *made.table_v()))
    assert len(figure.axes) == 4
    assert_like_baseline(figure, "ff_int8_table_v", tmp_path)


def test_table_v_of_bytes_alone_is_one_panel():
    rows = [row | {"costs": [], "test_accuracy": None} for row in made.table_v()]
    assert len(ff_int8_table_v.draw(numbers(ff_int8_table_v, *rows), columns=1).axes) == 1


# ---- Table I ---------------------------------------------------------------------------------


def test_depth_needs_one_rate():
    """The rate of float32 was another one than that of INT8 beside it."""
    rows = [
        row | ({"options": '{"lr":0.1}'} if row["algorithm"] == "backprop" else {})
        for row in made.depth()
    ]
    with pytest.raises(MissingDataError, match="same samples, passes, rate and seeds"):
        numbers(ff_int8_depth, *rows)


def test_depth_shows_the_longest_training_over_its_seeds():
    rows = numbers(ff_int8_depth, *made.depth())
    ours = rows[(rows["source"] == "here") & (rows["number_format"] == "INT8")]
    assert list(ours["test_accuracy"]) == pytest.approx([0.89, 0.79, 0.69])
    assert list(ours["lost_points"]) == pytest.approx([1, 12, 23])
    assert set(ours["seeds"]) == {2}
    theirs = rows[(rows["source"] == "published") & (rows["hidden_layers"] == 2)]
    assert list(theirs["lost_points"]) == pytest.approx([32.1, 32.1])


def test_depth_as_a_table():
    table = by(numbers(table_ff_int8_depth, *made.depth()), "hidden_layers")
    assert table.loc[1, "int8_accuracy"] == pytest.approx(0.79)
    assert table.loc[1, "published_int8_accuracy"] == pytest.approx(0.738)
    assert pd.isna(table.loc[3, "int8_accuracy"])
    assert "79.00 ± 1.41" in markdown_table(table.reset_index())


def test_depth_needs_both_formats():
    rows = [row for row in made.depth() if row["algorithm"] == "backprop"]
    with pytest.raises(MissingDataError, match="mnist-int8-depth"):
        numbers(ff_int8_depth, *rows)


def test_depths_of_different_experiments_are_not_mixed():
    """The same net trained for longer elsewhere, on fewer images or at another rate."""
    again = {"epochs": 50, "test_accuracy": 0.99}
    others = [
        made.workload("backprop", "mlp-784-500-10", run="other", **again),
        made.workload("backprop_int8", "mlp-784-500-10", run="other", **again),
        made.workload("backprop", "mlp-784-500-10", {"lr": 0.5}, **again, train_samples=9),
        made.workload("backprop_int8", "mlp-784-500-10", {"lr": 0.1}, **again, train_samples=9),
        made.workload("backprop", "mlp-784-500x3-10", {"lr": 0.01}, **again),
        made.workload("backprop_int8", "mlp-784-500x3-10", {"lr": 0.01}, **again | {"epochs": 5}),
    ]
    rows = numbers(ff_int8_depth, *others, *made.depth())
    ours = rows[rows["source"] == "here"]
    assert list(ours["hidden_layers"]) == [0, 0, 1, 1, 2, 2]
    assert set(ours["epochs"]) == {5}


def test_depth_compares_the_seeds_that_both_formats_have():
    rows = [row for row in made.depth(3) if row["algorithm"] == "backprop" or row["seed"] > 0]
    ours = numbers(ff_int8_depth, *rows)
    ours = ours[(ours["source"] == "here") & (ours["hidden_layers"] == 0)]
    assert list(ours["seeds"]) == [2, 2]
    assert list(ours["lost_points"]) == pytest.approx([-1, -1])


def test_a_sweep_over_an_option_is_no_experiment():
    swept = [
        made.workload(rule, "mlp-784-500-10", {"lr": 0.1, "rounding": way}, epochs=5)
        | {"test_accuracy": 0.9}
        for rule in ("backprop", "backprop_int8")
        for way in ("nearest", "stochastic")
    ]
    with pytest.raises(MissingDataError, match="with the same options throughout"):
        numbers(ff_int8_depth, *swept)


def test_depth_looks_as_it_did(tmp_path):
    figure = ff_int8_depth.draw(numbers(ff_int8_depth, *made.depth()))
    assert_like_baseline(figure, "ff_int8_depth", tmp_path)


# ---- Fig. 6 ----------------------------------------------------------------------------------


def test_convergence_shows_the_longest_training_of_a_mode():
    rows = numbers(ff_int8_convergence, *made.convergence())
    off = rows[(rows["look_ahead"] == "off") & (rows["source"] == "here")]
    assert list(off["pass"]) == [5, 10, 15]
    assert list(off["test_accuracy"]) == pytest.approx([0.91, 0.945, 0.96])
    on = rows[(rows["look_ahead"] == "true") & (rows["source"] == "here")]
    assert on["test_accuracy"].max() == pytest.approx(0.97)
    assert set(on["test_accuracy_deviation"]) == {0}
    assert set(rows.loc[rows["source"] == "published", "pass"]) == {130, 180}


def test_convergence_joins_no_two_experiments():
    """Of each mode the longest training was drawn, whatever its rate, batch and samples."""
    for changes, said in (
        ({"epochs": 99}, "passes 99 against 15"),
        ({"batch_size": 8}, "batch size 8 against 32"),
        ({"train_samples": 100}, "training samples 100 against all"),
    ):
        other = made.curve("ff_int8", {"lookahead": "detached"}, [0.99], **changes)
        rows = numbers(ff_int8_convergence, *made.convergence(), *other)
        assert set(rows.loc[rows["source"] == "here", "look_ahead"]) == {"off", "true"}
        assert said in rows.attrs["left_out"][0]
    other = made.curve("ff_int8", {"lookahead": "detached", "lr": 9}, [0.5] * 3, every=5)
    rows = numbers(ff_int8_convergence, *made.convergence(), *other)
    assert rows.attrs["left_out"] == ["look-ahead detached (rate 9 against ff_int8's default)"]


def test_convergence_needs_a_training_of_the_mlp():
    rows = [row for row in made.convergence() if row["model"] != MLP]
    with pytest.raises(MissingDataError, match="mnist-ff-int8"):
        numbers(ff_int8_convergence, *rows)


def test_convergence_looks_as_it_did(tmp_path):
    figure = ff_int8_convergence.draw(numbers(ff_int8_convergence, *made.convergence()))
    assert_like_baseline(figure, "ff_int8_convergence", tmp_path)


# ---- Table IV --------------------------------------------------------------------------------


def test_operations_add_up_over_phases_that_refine_no_other():
    rows = numbers(ff_int8_operations, *made.operations())
    ours = by(rows[rows["model"] == MLP], "rule")
    assert ours.loc["FP32", "macs"] == 30_000_000
    assert ours.loc["FF-INT8", "macs"] == 45_000_000
    assert ours.loc["FF-INT8", "fp32_ratio"] == pytest.approx(1.5)
    assert ours.loc["FF-INT8", "number_format"] == "int8"
    assert set(rows.loc[rows["source"] == "here", "evidence"]) == {"analytic"}
    assert list(dict.fromkeys(rows["model"])) == [MLP, "mlp-784-500x3-10", "not stated"]


def test_operations_need_batches_of_ten():
    with pytest.raises(MissingDataError, match="batch_size = 10"):
        numbers(ff_int8_operations, *(row | {"batch_size": 32} for row in made.operations()))
    with pytest.raises(MissingDataError, match="batch_size = 10"):
        numbers(ff_int8_operations, *(row | {"values": []} for row in made.operations()))


def test_operations_look_as_they_did(tmp_path):
    figure = ff_int8_operations.draw(numbers(ff_int8_operations, *made.operations()))
    assert_like_baseline(figure, "ff_int8_operations", tmp_path)


def test_tables_are_written_in_every_format():
    for module, rows in (
        (table_ff_int8_table_v, made.table_v()),
        (table_ff_int8_depth, made.depth()),
        (table_ff_int8_operations, made.operations()),
    ):
        table = numbers(module, *rows)
        assert module.TITLE
        assert latex_table(table, "t", caption=module.CAPTION).count("\\\\\n") == len(table) + 1
