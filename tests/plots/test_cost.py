import pytest

from tests.plots.frames import NO_SENSOR, by_phase, measured, modelled, numbers, row, timed, verdict
from tests.plots.images import assert_like_baseline
from trainfit.plots import MissingDataError
from trainfit.plots.drawing.costs import HERE, unlike
from trainfit.plots.figures import cost
from trainfit.plots.tables import cost as table_cost


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def note(figure):
    return figure.legends[0].get_title().get_text()


def limited(scale, limit, algorithm="pepita", evidence="modelled"):
    """A record with a limited time per step on ``d1``, as it was modelled."""
    left = limit - 5 * scale * 1e-3
    judged = verdict("d1", "fits", left, "step_latency", "s", evidence=evidence)
    return timed(algorithm, scale, verdicts=[judged])


def test_it_looks_as_it_did(tmp_path):
    seconds, _ = modelled(1e-4, 1e-3, "d0")
    rows = [
        timed(costs=[NO_SENSOR]),
        timed("tinyfoa", 0.5),
        limited(3, 2e-3),
        row("drtp", {"decay": "cosine", "an_option": "with a long value"}, costs=[seconds]),
        row("drtp", {"decay": "linear", "an_option": "with another value"}, costs=[seconds]),
    ]
    figure = cost.draw(numbers(cost, *rows), columns=2)
    assert_like_baseline(figure, "cost", tmp_path)


def test_numbers_are_a_row_per_device_and_phase():
    table = numbers(cost, timed()).set_index(["device", "phase", "quantity"])
    assert table.loc[(HERE, "gradient", "seconds"), "value"] == pytest.approx(2e-3)
    assert table.loc[(HERE, "gradient", "seconds"), "high"] == pytest.approx(2.2e-3)
    assert table.loc[(HERE, "step", "seconds"), "evidence"] == "clock"
    assert table.loc[("d4", "step", "joules"), "high"] == pytest.approx(5.0)
    assert table.loc[("d4", "step", "seconds"), "evidence"] == "modelled"


def test_what_is_measured_is_the_mean_over_seeds():
    table = numbers(cost, timed(), timed(scale=3, seed=1))
    step = table[(table["device"] == HERE) & (table["phase"] == "step")]
    assert list(step["value"]) == [pytest.approx(8e-3)]


def test_a_limit_is_what_is_left_and_the_high_end():
    table = numbers(cost, limited(1, 0.25), limited(2, 0.25, "dfa"))
    limits = table.loc[(table["device"] == "d1") & (table["quantity"] == "seconds"), "limit"]
    assert list(limits) == [pytest.approx(0.25)] * 2


def test_a_limit_that_a_measurement_was_compared_with_is_not_drawn_over_models():
    assert numbers(cost, limited(1, 0.25, evidence="clock"))["limit"].isna().all()


def test_energy_without_a_sensor_is_said_and_not_drawn():
    figure = cost.draw(numbers(cost, timed(costs=[NO_SENSOR])))
    assert any("no sensor" in text for text in texts(figure))


def test_energy_from_a_sensor_is_drawn():
    found = timed(costs=[measured("joules", 0.5)])
    found["values"] += by_phase("joules", 0.2, None, None)
    figure = cost.draw(numbers(cost, found))
    assert not any("no sensor" in text for text in texts(figure))


def test_devices_that_differ_most_are_shown_and_the_others_counted():
    table = numbers(cost, timed())
    assert unlike(table, 3) == ["d0", "d2", "d4"]
    assert unlike(table, 1) == ["d4"]
    assert "4 more devices" in note(cost.draw(table, columns=1))


def test_of_many_workloads_the_first_are_shown():
    rows = [timed(f"rule_{n}") for n in range(40)]
    figure = cost.draw(numbers(cost, *rows), columns=1)
    assert figure.get_figheight() < 11
    assert "more workloads" in note(figure)


def test_without_a_measurement_the_figure_has_devices_only():
    found = row(costs=modelled(1.0, 2.0, "d")[:1])
    figure = cost.draw(numbers(cost, found))
    assert [axes.get_title() for axes in figure.axes] == ["d", ""]
    assert "Nothing was measured" in note(figure)


@pytest.mark.parametrize("module", [cost, table_cost])
def test_without_any_it_says_what_makes_them(module):
    with pytest.raises(MissingDataError, match="measures latency"):
        numbers(module, row(costs=[NO_SENSOR]))


def test_a_run_of_one_timed_step_without_phases_is_drawn():
    figure = cost.draw(numbers(cost, row(costs=[measured("seconds", 1.0)])), columns=1)
    assert len(figure.axes) == 2
