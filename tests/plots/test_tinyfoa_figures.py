"""TinyFoA's figure and accuracies, from frames."""

import pandas as pd
import pytest

from tests.plots import paper_frames as made
from tests.plots.frames import numbers
from tests.plots.images import assert_like_baseline
from trainfit.plots import MissingDataError
from trainfit.plots.drawing.tables import markdown_table
from trainfit.plots.figures.tinyfoa import accuracy as tinyfoa_accuracy
from trainfit.plots.figures.tinyfoa import memory as tinyfoa_memory
from trainfit.plots.tables.tinyfoa import memory as table_tinyfoa_memory


def test_factors_are_backpropagations_bytes_over_the_rows():
    rows = numbers(tinyfoa_memory, *made.tinyfoa_memory()).set_index(["row", "phase"])
    ours = rows.loc[tinyfoa_memory.OURS]
    assert ours.loc["forward", "dynamic_factor"] == pytest.approx(2)
    assert ours.loc["gradient", "dynamic_factor"] == pytest.approx(10)
    assert ours.loc["update", "dynamic_factor"] == pytest.approx(12)
    assert ours.loc["gradient", "ram_factor"] == pytest.approx(215 / 20)
    assert ours.loc["gradient", "device_bytes"] == 2_750_000


def test_a_row_takes_its_own_form_only():
    rows = numbers(tinyfoa_memory, *made.tinyfoa_memory())
    assert set(rows["row"]) == {
        tinyfoa_memory.BASE,
        "horizontal\n(one layer)",
        tinyfoa_memory.OURS,
        "TinyFoA as released",
        tinyfoa_memory.CLAIMED,
    }
    assert rows["dynamic_bytes"].min() > 30_000  # forms that have one byte are nobody's row


def test_weights_and_activations_are_binary_unless_said_otherwise():
    rows = made.tinyfoa_memory()
    [ours] = [r for r in rows if r["algorithm"] == "tinyfoa" and "variant" not in r["options"]
              and "slices" not in r["options"]][:1]  # fmt: skip
    others = [row for row in rows if row["algorithm"] != "tinyfoa"]
    binary = ours | {"options": '{"weights":"binary","activations":"binary"}'}
    whole = ours | {"options": '{"weights":"float"}'}
    found = numbers(tinyfoa_memory, *others, binary)
    assert tinyfoa_memory.OURS in set(found["row"])
    assert tinyfoa_memory.OURS not in set(numbers(tinyfoa_memory, *others, whole)["row"])


def test_published_factors_are_second_hand_and_of_unknown_bytes():
    rows = numbers(tinyfoa_memory, *made.tinyfoa_memory())
    claimed = rows[rows["row"] == tinyfoa_memory.CLAIMED].set_index("phase")
    assert claimed["dynamic_factor"].to_dict() == {"forward": 96, "gradient": 24, "update": 12}
    assert "second hand" in claimed["options"].iloc[0]
    assert claimed.loc["update", "dynamic_bytes"] == 4_500_000
    assert claimed.loc["update", "ram_bytes"] == round(214_000_000 / 12)


def test_the_memory_figure_needs_backpropagation_with_adam():
    rows = made.tinyfoa_memory()
    with pytest.raises(MissingDataError, match="paper-tinyfoa"):
        numbers(tinyfoa_memory, *(row for row in rows if "adam" not in row["options"]))
    with pytest.raises(MissingDataError, match="paper-tinyfoa"):
        numbers(tinyfoa_memory, *(row for row in rows if row["algorithm"] == "backprop"))


def test_the_memory_figure_as_a_table():
    table = numbers(table_tinyfoa_memory, *made.tinyfoa_memory())
    rows = table.set_index("row")
    ours = rows.loc["TinyFoA as described (binary, M = 2)"]
    assert ours["update_factor_ratio"] == pytest.approx(12)
    assert rows.loc["TinyFoA as released", "everything_factor_ratio"] == pytest.approx(215 / 138)
    claimed = rows.iloc[-1]
    assert claimed["forward_factor_ratio"] == 96
    assert pd.isna(claimed["forward_bytes"])
    assert "96" in markdown_table(table)
    assert "second hand" in table_tinyfoa_memory.CAPTION


def test_the_memory_figure_looks_as_it_did(tmp_path):
    figure = tinyfoa_memory.draw(numbers(tinyfoa_memory, *made.tinyfoa_memory()))
    assert len(figure.axes) == 3
    assert_like_baseline(figure, "tinyfoa_memory", tmp_path)


def test_accuracy_after_every_layer():
    rows = numbers(tinyfoa_accuracy, *made.tinyfoa_accuracy())
    layers = rows[(rows["panel"] == "layers") & (rows["source"] == "here")]
    described = layers[layers["form"] == "described, rate 0.001, 3 passes a layer"]
    assert list(described["layer"]) == [1, 2, 3, 4]
    assert list(described["test_accuracy"]) == pytest.approx([0.91, 0.95, 0.96, 0.97])
    assert described["test_accuracy_deviation"].iloc[0] == pytest.approx(0.01414, abs=1e-5)
    assert "released, rate 0.001, 3 passes a layer" in set(layers["form"])
    assert len(rows[rows["source"] == "published"]) == 4


def test_pairs_have_as_many_passes():
    rows = numbers(tinyfoa_accuracy, *made.tinyfoa_accuracy())
    pairs = rows[rows["panel"] == "binarised"]
    assert list(pairs["rule"]) == ["drtp", "drtp"]  # pepita has no binary form here
    assert list(pairs["test_accuracy"]) == pytest.approx([0.94, 0.89])
    assert set(pairs["passes"]) == {12}


def test_forms_of_two_experiments_are_no_pair():
    """The float form on a hundred images stood beside the binary form on all of them."""
    unlike = {
        "training samples 100 against all": {"train_samples": 100},
        "batch size 8 against 32": {"batch_size": 8},
        "standardised yes against no": {"standardise": True},
        "passes 6 against 12": {"epochs": 6},
    }
    for said, changes in unlike.items():
        rows = [
            row | (changes if row["options"] == '{"lr":0.01}' else {})
            for row in made.tinyfoa_accuracy()
        ]
        found = numbers(tinyfoa_accuracy, *rows)
        assert set(found["panel"]) == {"layers"}
        [left_out] = found.attrs["left_out"]
        assert left_out.startswith("drtp 784-1000x3-10 in ")
        assert said in left_out or " against ".join(reversed(said.rsplit(" ", 3)[1::2])) in left_out


def test_trainings_of_two_experiments_are_two_curves():
    """Their means over seeds were one curve."""
    by_layer = {"model": "mlp-784-2000x4-10", "every": 3, "epochs": 3, "seed": 2}
    other = made.curve("tinyfoa", {"lr": 0.001}, [0.5] * 4, **by_layer, train_samples=100)
    rows = numbers(tinyfoa_accuracy, *made.tinyfoa_accuracy(), *other)
    name = "described, rate 0.001, 3 passes a layer"
    assert list(rows.loc[rows["form"] == name, "seeds"]) == [2] * 4
    assert list(rows.loc[rows["form"] == f"{name}, training samples 100", "seeds"]) == [1] * 4


def test_a_float_form_is_said_to_be_one():
    by_layer = {"model": "mlp-784-2000x4-10", "every": 3, "epochs": 3}
    form = {"lr": 0.001, "weights": "float", "activations": "binary"}
    rows = numbers(tinyfoa_accuracy, *made.curve("tinyfoa", form, [0.5] * 4, **by_layer))
    here = rows[rows["source"] == "here"]
    assert set(here["form"]) == {"described, rate 0.001, 3 passes a layer, float weights"}


def test_accuracy_needs_one_of_both():
    rows = [row for row in made.tinyfoa_accuracy() if row["algorithm"] == "pepita"]
    with pytest.raises(MissingDataError, match="mnist-binarised"):
        numbers(tinyfoa_accuracy, *rows)


def test_accuracy_looks_as_it_did(tmp_path):
    figure = tinyfoa_accuracy.draw(numbers(tinyfoa_accuracy, *made.tinyfoa_accuracy()))
    assert_like_baseline(figure, "tinyfoa_accuracy", tmp_path)
