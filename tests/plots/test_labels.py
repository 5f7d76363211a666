from tests.plots.frames import frame
from tests.plots.frames import record as row
from trainfit.plots.drawing.labels import short_labels


def labels(*rows, **changes):
    return short_labels(frame(*rows).drop(columns="seed"), **changes)


def test_an_option_is_named_where_the_algorithm_differs_in_it():
    rows = row(options={"lr": 1, "b": True}), row(options={"lr": 1}), row("drtp", {"lr": 2})
    assert labels(*rows) == ["backprop, b=true", "backprop", "drtp"]


def test_what_has_no_value_is_not_named():
    assert labels(row(), row("drtp", train_samples=500)) == ["backprop", "drtp, 500 samples"]


def test_switches_are_named_by_what_they_do():
    found = labels(row(), row(standardise=True), row(shuffle=False))
    assert found == ["backprop", "backprop, standardised", "backprop, in file order"]


def test_epochs_are_named_only_where_they_tell_rows_apart():
    found = labels(row(epochs=1), row(epochs=2), row("drtp", epochs=3))
    assert found == ["backprop, 1 epochs", "backprop, 2 epochs", "drtp"]


def test_of_trained_nets_epochs_are_named_wherever_they_differ():
    rows = row(epochs=1), row("drtp", epochs=3)
    assert labels(*rows) == ["backprop", "drtp"]
    assert labels(*rows, passes=True) == ["backprop, 1 epochs", "drtp, 3 epochs"]


def test_samples_that_were_held_out_are_named():
    assert labels(row(), row(held_out=200)) == ["backprop", "backprop, 200 held out"]


def test_runs_are_named_only_where_they_tell_rows_apart():
    found = labels(row(run="old"), row(run="new"), row("drtp", run="old"))
    assert found == ["backprop, old", "backprop, new", "drtp"]
