"""Steps of strangers: what is predicted without running them is what is measured, to the byte."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import trainfit
from tests.builders.strangers import STEPS, training
from tests.builders.vision_nets import efficientnet_b0, mobilenet_v2, resnet18
from trainfit.bench.profiler.fold import Fold


def by_phase(view: Fold) -> dict[str, tuple[int, int, int]]:
    return {
        name: (each.peak_bytes, each.entry_bytes, each.exit_bytes)
        for name, each in view.phases.items()
    }


@pytest.mark.parametrize("name", STEPS)
def test_predicted_is_measured(name: str) -> None:
    step = STEPS[name]()
    predicted = trainfit.predict_step(step)
    measured = trainfit.profile_step(step, repeats=1)
    assert by_phase(predicted) == by_phase(measured)
    assert predicted.peak_dynamic_bytes == measured.peak_dynamic_bytes
    assert predicted.static_categories == measured.static_categories
    assert predicted.left_after_step_bytes == measured.left_after_step_bytes
    assert predicted.entry_bytes == measured.entry_bytes
    if not measured.attribution and name != "checkpointed":
        dynamic = {name: each.categories for name, each in predicted.phases.items()}
        if name in {"mlp", "momentum", "adam", "rmsprop", "nadam", "cnn", "logged", "segmented"}:
            assert dynamic == {name: each.categories for name, each in measured.phases.items()}


@pytest.mark.slow
@pytest.mark.parametrize("net", [resnet18, mobilenet_v2, efficientnet_b0])
def test_narrow_vision_nets(net: Callable[[int], torch.nn.Module]) -> None:
    step = training(lambda: net(4), (2, 3, 32, 32), lr=0.1, momentum=0.9)()
    predicted = trainfit.predict_step(step)
    measured = trainfit.profile_step(step, warmup=1, repeats=1)
    assert by_phase(predicted) == by_phase(measured)
    assert predicted.static_categories == measured.static_categories
    assert predicted.assumed == ()


def test_a_step_made_without_data_needs_as_much_as_one_made_with_it() -> None:
    for name in ("adam", "cnn", "attention"):
        made = trainfit.predict_step(make=STEPS[name])
        given = trainfit.predict_step(STEPS[name]())
        assert by_phase(made) == by_phase(given)
        assert made.static_categories == given.static_categories


def test_a_net_that_fits_no_memory_is_predicted() -> None:
    make = training(lambda: resnet18(1024), (4096, 3, 224, 224), lr=0.1)
    prediction = trainfit.predict_step(make=make)
    assert prediction.static_categories["parameters"] > 10**10
    assert prediction.peak_dynamic_bytes > 10**12
    assert prediction.evidence == "traced"


def test_the_largest_tensors_say_where_they_are_made() -> None:
    prediction = trainfit.predict_step(training(resnet18, (8, 3, 64, 64), lr=0.1)())
    largest = prediction.phases["forward"].live_at_peak[0]
    assert largest.module
    assert "tests/builders/strangers.py" in largest.line
    assert largest.category in {"activations", "workspace"}


def test_operators_and_storages_are_there_for_other_views() -> None:
    prediction = trainfit.predict_step(STEPS["cnn"]())
    names = [each.name for each in prediction.trace.operators]
    assert names.count("aten.convolution.default") == 2
    assert names.count("aten.convolution_backward.default") == 2
    assert prediction.trace.torch_view.peak_dynamic_bytes == prediction.peak_dynamic_bytes


def test_nothing_of_the_user_changes() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(8, 6), torch.nn.BatchNorm1d(6))
    trainer = torch.optim.Adam(model.parameters())
    x, seen = torch.rand(4, 8), []

    def step() -> None:
        loss = model(x).square().sum()
        loss.backward()
        trainer.step()
        seen.append(loss.item())

    def state() -> list[torch.Tensor]:
        kept = [value for each in trainer.state.values() for value in each.values()]
        grads = [each.grad for each in model.parameters() if each.grad is not None]
        return [each.clone() for each in [*model.state_dict().values(), *kept, *grads]]

    for _ in range(2):  # before the first call of the step, and after it
        before, random, calls = state(), torch.get_rng_state(), len(seen)
        threads, graph = torch.get_num_threads(), torch.is_grad_enabled()
        trainfit.predict_step(step)
        after = state()
        assert len(before) == len(after)
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
        assert torch.equal(random, torch.get_rng_state())
        assert len(seen) == calls
        assert (threads, graph) == (torch.get_num_threads(), torch.is_grad_enabled())
        step()


def test_what_an_earlier_training_keeps_is_found() -> None:
    step = STEPS["adam"]()
    fresh = trainfit.predict_step(step)
    for _ in range(3):
        step()
    assert by_phase(trainfit.predict_step(step)) == by_phase(fresh)


@pytest.mark.parametrize("arguments", [{}, {"warmup": 0}, {"steps": 0}])
def test_what_makes_no_sense_is_refused(arguments: dict[str, int]) -> None:
    step = STEPS["mlp"]() if arguments else None
    with pytest.raises(ValueError, match=r"step|at least 1"):
        trainfit.predict_step(step, **arguments)


def test_a_report_for_people() -> None:
    said = str(trainfit.predict_step(STEPS["logged"]()))
    assert "nothing was run" in said
    assert "largest at the peak:" in said
    assert "asks for values of tensors at tests/builders/strangers.py:" in said
    assert "LEAK" in str(trainfit.predict_step(STEPS["leaking"]()))
