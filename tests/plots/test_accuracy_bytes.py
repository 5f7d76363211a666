import pytest
from matplotlib.figure import Figure

from tests.plots.frames import KIB, LIMITS, numbers, planned, row
from tests.plots.images import assert_like_baseline
from trainfit.plots import MissingDataError
from trainfit.plots.drawing.layout import place_labels
from trainfit.plots.drawing.workloads import STARRED
from trainfit.plots.figures import accuracy_bytes


def trained(algorithm, ram, accuracy, **changes):
    return row(algorithm, static=ram * KIB - 1000, peak=1000, test_accuracy=accuracy, **changes)


def front(*rows):
    table = numbers(accuracy_bytes, *rows).dropna(subset=["number"])
    assert table["on_front"].all()
    return list(table.sort_values("number")["algorithm"])


def test_it_looks_as_it_did(tmp_path):
    rows = [
        trained("tinyfoa", 60, 0.85),
        trained("pepita", 90, 0.80),
        trained("drtp", 150, 0.91),
        *(trained("dfa", 152, 0.92 + seed / 50, seed=seed) for seed in range(3)),
        trained("backprop", 400, 0.97),
        trained("backprop", 900, 0.96, options={"optimizer": "adam"}),
        trained("backprop", 4000, 0.5, dataset="cifar10"),
    ]
    figure = accuracy_bytes.draw(numbers(accuracy_bytes, *rows), columns=2)
    assert_like_baseline(figure, "accuracy_bytes", tmp_path)


def test_the_front_is_what_nothing_beats_in_both():
    assert front(
        trained("a", 10, 0.5), trained("b", 20, 0.4), trained("c", 30, 0.6), trained("d", 5, 0.3)
    ) == ["d", "a", "c"]


def test_of_equals_in_bytes_the_more_accurate_is_on_the_front():
    assert front(trained("a", 10, 0.5), trained("b", 10, 0.6)) == ["b"]


def test_more_bytes_for_the_same_accuracy_are_not_on_the_front():
    assert front(trained("a", 20, 0.5), trained("b", 10, 0.5)) == ["b"]


def test_a_workload_is_the_mean_over_its_seeds():
    rows = [trained("a", 10, accuracy, seed=n) for n, accuracy in enumerate((0.4, 0.6))]
    found = numbers(accuracy_bytes, *rows).iloc[0]
    assert found["seeds"] == 2
    assert found["test_accuracy"] == pytest.approx(0.5)
    assert found["test_accuracy_deviation"] == pytest.approx(0.02**0.5)


def test_every_data_set_has_a_front_of_its_own():
    assert len(front(trained("a", 10, 0.9), trained("b", 20, 0.5, dataset="cifar10"))) == 2


def test_limits_of_devices_are_static_and_peak_and_what_is_left():
    table = numbers(accuracy_bytes, trained("a", 10, 0.9)).dropna(subset=["device"])
    assert dict(zip(table["device"], table["limit_bytes"], strict=True)) == LIMITS


def test_the_limit_of_a_device_that_plans_is_marked():
    rows = [planned(static=60 * KIB, peak=n * KIB, batch_size=n) for n in (8, 64)]

    table = numbers(accuracy_bytes, *rows)

    limits = table.dropna(subset=["device"])
    assert dict(zip(limits["device"], limits["limit_bytes"], strict=True)) == LIMITS
    axes = accuracy_bytes.draw(table).axes[0]
    assert axes.get_xlabel() == f"RAM: static + peak dynamic bytes ({STARRED})"
    assert "small*" in [text.get_text() for text in axes.texts]


def test_a_run_that_was_not_judged_is_drawn_without_limits():
    figure = accuracy_bytes.draw(numbers(accuracy_bytes, trained("a", 10, 0.9, verdicts=[])))
    assert not figure.axes[0].texts[1:]  # but for the number of the front's only point


@pytest.mark.parametrize(("columns", "workloads"), [(1, 30), (2, 1)])
def test_everything_on_the_front_is_numbered(columns, workloads):
    rows = [trained(f"rule_{n}", 10 + n, 0.5 + n / 100) for n in range(workloads)]
    figure = accuracy_bytes.draw(numbers(accuracy_bytes, *rows), columns=columns)
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert {str(n) for n in range(1, workloads + 1)} <= texts


def test_without_accuracies_it_says_what_makes_them():
    with pytest.raises(MissingDataError, match=r"no test_accuracy; set epochs"):
        numbers(accuracy_bytes, trained("a", 10, None))


def test_labels_do_not_cover_one_another():
    figure = Figure(figsize=(3, 3))
    axes = figure.add_subplot()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    place_labels(axes, [(0.5, 0.5, "1"), (0.51, 0.5, "2"), (0.5, 0.51, "3")], [(0.49, 0.49)])
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not any(a.overlaps(b) for a in boxes for b in boxes if a is not b)
