import pytest

from tests.plots.cost_frames import frame, interval, row, timed
from tests.plots.images import assert_like_baseline
from trainfit.plots import MissingDataError
from trainfit.plots.drawing.costs import HERE, unlike
from trainfit.plots.figures import cost
from trainfit.plots.tables import cost as table_cost


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def note(figure):
    return figure.legends[0].get_title().get_text()


def limited(scale, limit, algorithm="pepita"):
    """A record that is held to a time per step on ``d1``, as it was modelled."""
    found = timed(algorithm, scale)
    found["margin.d1.step_latency_seconds"] = limit - found["modelled.d1.seconds_high"]
    return found | {"evidence.d1.step_latency": "modelled"}


def test_it_looks_as_it_did(tmp_path):
    rows = [
        timed(energy_evidence="unavailable"),
        timed("tinyfoa", 0.5),
        limited(3, 2e-3),
        row("drtp", {"decay": "cosine", "an_option": "with a long value"}),
        row("drtp", {"decay": "linear", "an_option": "with another value"}),
    ]
    for found in rows[-2:]:
        found |= {"modelled.d0.seconds_low": 1e-4, "modelled.d0.seconds_high": 1e-3}
    figure = cost.draw(cost.numbers(frame(*rows)), columns=2)
    assert_like_baseline(figure, "cost", tmp_path)


def test_numbers_are_a_row_per_device_and_phase():
    table = cost.numbers(frame(timed())).set_index(["device", "phase"])
    assert table.loc[(HERE, "gradient"), "seconds"] == pytest.approx(2e-3)
    assert table.loc[(HERE, "step"), "seconds_evidence"] == "clock"
    assert table.loc[("d4", "step"), "joules_high"] == pytest.approx(5.0)
    assert table.loc[("d4", "step"), "seconds_evidence"] == "modelled"


def test_what_is_measured_is_the_mean_over_seeds():
    table = cost.numbers(frame(timed(), timed(scale=3, seed=1)))
    step = table[(table["device"] == HERE) & (table["phase"] == "step")]
    assert list(step["seconds"]) == [pytest.approx(8e-3)]


def test_a_limit_is_what_is_left_and_the_high_end():
    table = cost.numbers(frame(limited(1, 0.25), limited(2, 0.25, "dfa")))
    limits = table.loc[table["device"] == "d1", "seconds_limit"]
    assert list(limits) == [pytest.approx(0.25)] * 2


def test_a_limit_that_was_held_against_a_measurement_is_not_drawn_over_models():
    found = limited(1, 0.25) | {"evidence.d1.step_latency": "clock"}
    assert cost.numbers(frame(found))["seconds_limit"].isna().all()


def test_energy_without_a_sensor_is_said_and_not_drawn():
    figure = cost.draw(cost.numbers(frame(timed(energy_evidence="unavailable"))))
    assert any("no sensor" in text for text in texts(figure))


def test_energy_from_a_sensor_is_drawn():
    found = timed(energy_evidence="sensor", joules_per_step=0.5, **{"phase.forward.joules": 0.2})
    figure = cost.draw(cost.numbers(frame(found)))
    assert not any("no sensor" in text for text in texts(figure))


def test_devices_that_differ_most_are_shown_and_the_others_counted():
    table = cost.numbers(frame(timed()))
    assert unlike(table, 3) == ["d0", "d2", "d4"]
    assert unlike(table, 1) == ["d4"]
    assert "4 more devices" in note(cost.draw(table, columns=1))


def test_of_many_workloads_the_first_are_shown():
    rows = [timed(f"rule_{n}") for n in range(40)]
    figure = cost.draw(cost.numbers(frame(*rows)), columns=1)
    assert figure.get_figheight() < 11
    assert "more workloads" in note(figure)


def test_without_a_measurement_the_figure_has_devices_only():
    found = row(**{"modelled.d.seconds_low": 1.0, "modelled.d.seconds_high": 2.0})
    figure = cost.draw(cost.numbers(frame(found)))
    assert [axes.get_title() for axes in figure.axes] == ["d", ""]
    assert "Nothing was measured" in note(figure)


@pytest.mark.parametrize("module", [cost, table_cost])
def test_without_any_it_says_what_makes_them(module):
    with pytest.raises(MissingDataError, match="measures latency"):
        module.numbers(frame(row()))


def test_a_run_of_one_timed_step_without_phases_is_drawn():
    figure = cost.draw(cost.numbers(frame(row(**interval("step_seconds", 1.0)))), columns=1)
    assert len(figure.axes) == 2
