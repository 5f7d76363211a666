"""The gate catches what a change does to memory, and names it; and it never cries wolf.

For every algorithm six changes are planted in its step, one at a time, and measured as any
workload is. What is not planted has no finding: the mode that plants is there in the golden, too.
"""

from __future__ import annotations

import sys
from functools import cache, partial

import pytest

from tests.contract.cases import samples_for
from tests.mutation.planting import Mutation, Planted, planted, with_static
from trainfit.algorithms import algorithm_names, build_algorithm
from trainfit.bench.gate.compare import FindingKind, compare_workloads
from trainfit.bench.gate.figures import figures_of_record
from trainfit.bench.gate.golden import Conditions, Golden
from trainfit.bench.profiler import profile_step
from trainfit.bench.run.memory import measure_memory

NET, ROWS = "mlp-24-16-32-8-4", 7
MOST_TRIES = 6
RERUNS = 50


@pytest.fixture(scope="module", autouse=True)
def short_profiles():
    """Steps are measured with as few repeats as there can be, and only as the gate sees them.

    A workload has more repeats, and is measured once more as deployed, which is in no golden: here
    the step is only taken, so that the last one seen is that of the worst stage.
    """
    memory = sys.modules[measure_memory.__module__]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "profile_step", partial(profile_step, warmup=1, repeats=2))
        patch.setattr(memory, "_as_deployed", lambda step: step())
        yield


def built(name):
    return build_algorithm(name, NET, {}, seed=0)


def entry(algorithm, mode):
    x, y = samples_for(algorithm, ROWS)
    with planted(algorithm, mode):
        return figures_of_record(measure_memory(algorithm, x, y), [])


@cache
def baseline(name):
    """The golden of an algorithm, and the calls of a step at its last stage."""
    mode = Planted()
    return entry(built(name), mode), tuple(mode.calls)


def gated(name, measured):
    golden = Golden(conditions=Conditions(torch="any"), workloads={name: baseline(name)[0]})
    return compare_workloads(golden, {name: measured})


def candidates(name, mutation):
    """Calls at which the change can be planted, those of the largest tensors first."""
    _, calls = baseline(name)
    able = {
        Mutation.EXTRA_COPY: lambda call: call.fresh,
        Mutation.KEPT_GRADIENT: lambda call: call.fresh and call.phase.startswith("gradient"),
        Mutation.LOST_IN_PLACE: lambda call: call.in_place and not call.graph,
        Mutation.WIDENED: lambda call: call.fresh and call.name != "backward",
        Mutation.DROPPED: lambda call: call.fresh and not call.graph and call.name != "backward",
    }[mutation]
    found = [call for call in calls if call.bytes > 8 and able(call)]
    if mutation is Mutation.KEPT_GRADIENT and not found:  # a rule without gradients: what it has
        found = [call for call in calls if call.bytes > 8 and call.fresh]
    return sorted(found, key=lambda call: -call.bytes)[:MOST_TRIES]


def plant(name, mutation):
    """What the gate says of the first place at which the change costs anything, and its bytes.

    A tensor that dies long before the peak may be copied for nothing: that costs no byte, so it is
    no regression. The next largest is tried.
    """
    if mutation is Mutation.OPTIMIZER_BUFFER:
        algorithm = built(name)
        largest = with_static(algorithm, more=True)
        return gated(name, entry(algorithm, Planted())), {largest.tensor.nbytes}
    for call in candidates(name, mutation):
        mode = Planted(mutation, call)
        result = gated(name, entry(built(name), mode))
        if result.findings:
            return result, mode.bytes
    assert mutation is Mutation.DROPPED, f"nowhere does {mutation} cost {name} anything"
    algorithm = built(name)  # every tensor of the step is autograd's: drop one that is held
    largest = with_static(algorithm, fewer=True)
    return gated(name, entry(algorithm, Planted())), {largest.tensor.nbytes}


@pytest.mark.parametrize("mutation", list(Mutation), ids=lambda mutation: mutation.name.lower())
@pytest.mark.parametrize("name", algorithm_names())
def test_a_planted_change_is_caught_and_named(name, mutation):
    result, sizes = plant(name, mutation)
    assert result.exit_code == 1
    kinds = {found.kind for found in result.failures}
    assert (FindingKind.SHRANK if mutation is Mutation.DROPPED else FindingKind.GREW) in kinds
    explained = result.explained[name]
    named = any(f"{size:,} B" in text for text in explained for size in sizes)
    if mutation is Mutation.KEPT_GRADIENT and not named:
        # It was alive at the peak anyway. Now a later gradient is there beside it, which is named.
        named = any("(gradients, " in text and text.startswith("new: ") for text in explained)
    assert named, explained
    if mutation is Mutation.OPTIMIZER_BUFFER:
        assert any("of optimizer_state held between steps" in text for text in explained)


@pytest.mark.parametrize("name", algorithm_names())
def test_no_false_alarm(name):
    for _ in range(-(-RERUNS // len(algorithm_names()))):
        result = gated(name, entry(built(name), Planted()))
        assert result.exit_code == 0
        assert not result.findings


@pytest.mark.parametrize("name", algorithm_names())
def test_watching_changes_nothing(name):
    """The golden of these tests is that of an algorithm nobody watches."""
    algorithm = built(name)
    x, y = samples_for(algorithm, ROWS)
    assert gated(name, figures_of_record(measure_memory(algorithm, x, y), [])).findings == []
