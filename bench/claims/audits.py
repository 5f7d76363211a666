"""What two audits of forward-only training claim: Spyra & Dzwinel, and Chen."""

from __future__ import annotations

from trainfit.bench.claims.claim import Check, Paper, compare
from trainfit.bench.claims.quantities import BOTH, RAM
from trainfit.bench.claims.statistics import CHANGE_PERCENT, RATIO, less, near
from trainfit.bench.claims.workloads import DEFAULT, Workloads, rule

SUITES = ["results/suites/fair-memory.toml"]
WIDE = {"model": "mlp-784-2000x4-10", "batch_size": 100}
NARROW = {"model": "mlp-784-500x4-10", "batch_size": 2000}

WHOLE = rule("backprop", checkpoint=DEFAULT, micro_batch=DEFAULT, update=DEFAULT)
CNN_SUITES = ["forward-only-cnns"]
SMALL_CNN = {"model": "resnet8", "batch_size": 128}
LARGE_CNN = {"model": "resnet18", "batch_size": 32}
CNNS = {"ResNet-8, batch 128": SMALL_CNN, "ResNet-18, batch 32": LARGE_CNN}
"""Activations are most of the first one's bytes; the second one's weights weigh as much."""

BACKPROP = WHOLE.having(optimizer=DEFAULT)
PRODUCT = WHOLE.having(update="product", weights=DEFAULT)
"""At its best without computing anything twice: no gradient of a weight exists."""
AUTOGRAD = rule("forward_forward", implementation="autograd")
CLOSED_FORM = rule("forward_forward", implementation=DEFAULT)
PLAIN_CLOSED_FORM = CLOSED_FORM.having(optimizer=DEFAULT, passes=DEFAULT, negatives=DEFAULT)

# ---- Spyra & Dzwinel -----------------------------------------------------------------------------

SPYRA_DZWINEL = Paper("spyra-dzwinel", "Spyra & Dzwinel (arXiv 2511.01061, PPAM 2026)")
README = "README of the revised version (allocator peak on an A100)"
SAVES_NOTHING = near((0.91, 1.06), give=0.02)

SPYRA_DZWINEL.claim(
    "spyra-dzwinel-ff-memory",
    "Measured fairly, Forward-Forward needs 0.91 to 1.06 times backpropagation's memory: it saves"
    " nothing.",
    source=README,
    suites=SUITES,
    checks=[
        *compare(
            "FF / backprop, left to autograd",
            BOTH[::-1],
            RATIO,
            AUTOGRAD.having(optimizer=DEFAULT).at(**WIDE),
            BACKPROP.at(**WIDE),
            expected=SAVES_NOTHING,
        ),
        *compare(
            f"left to autograd with Adam, {RAM.name}, FF / backprop",
            RAM,
            RATIO,
            AUTOGRAD.having(optimizer="adam").at(**WIDE),
            WHOLE.having(optimizer="adam").at(**WIDE),
            expected=SAVES_NOTHING,
        ),
        *compare(
            "closed form / fused update, static + peak dynamic",
            RAM,
            RATIO,
            PLAIN_CLOSED_FORM.at(**WIDE),
            rule("backprop", update="fused", optimizer=DEFAULT, weights=DEFAULT).at(**WIDE),
            expected=SAVES_NOTHING,
        ),
        *compare(
            "both at their best: closed form / update = product",
            BOTH[::-1],
            RATIO,
            PLAIN_CLOSED_FORM.at(**WIDE),
            PRODUCT.having(optimizer=DEFAULT).at(**WIDE),
            expected=SAVES_NOTHING,
        ),
        *compare(
            f"both at their best with Adam, {RAM.name}",
            RAM,
            RATIO,
            PLAIN_CLOSED_FORM.having(optimizer="adam").at(**WIDE),
            PRODUCT.having(optimizer="adam").at(**WIDE),
            expected=SAVES_NOTHING,
        ),
    ],
    remark="Once with Forward-Forward left to autograd, as their code is, and once in closed form,"
    " where a gradient of a weight goes into its momentum as it is computed and never exists; so it"
    " does in backpropagation with update = product, while update = fused makes one at a time. With"
    " Adam that gradient is made: here of a weight by Forward-Forward, of a few rows by"
    " backpropagation. Their range, widened by 0.02.",
)

SPYRA_DZWINEL.claim(
    "spyra-dzwinel-ff-memory-cnn",
    "Forward-Forward needs 0.91 to 1.06 times backpropagation's memory: on convolutional nets.",
    source=README,
    suites=CNN_SUITES,
    checks=[
        check
        for what, net in CNNS.items()
        for text, passes in (("one pass after the other", DEFAULT), ("both at once", "joint"))
        for check in compare(
            f"{what}, FF ({text}) / backprop, {RAM.name}",
            RAM,
            RATIO,
            rule("forward_forward", passes=passes, optimizer=DEFAULT, momentum=DEFAULT).at(**net),
            BACKPROP.having(momentum=DEFAULT).at(**net),
            expected=SAVES_NOTHING,
        )
    ],
    remark="They measured fully connected nets; which convolutional ones they trained is not in the"
    " text at hand. Here two nets on CIFAR-10's images, chosen by us. Both sides have a momentum,"
    " and make gradients of weights: Forward-Forward a unit's, backpropagation all. A unit is"
    " a residual block: Forward-Forward keeps what is within one, of right and wrong labels"
    " together if both go through at once. Their range, widened by 0.02.",
)

SPYRA_DZWINEL.claim(
    "spyra-dzwinel-ff-energy",
    "Forward-Forward takes 4.1 to 6.3 times backpropagation's energy to train.",
    source="README of the revised version (NVML on an A100)",
    not_testable="no record here has energy from a sensor, and theirs is that of whole trainings to"
    " their own convergence on an A100",
)


def _heads(what: str, model: str, published: float | tuple[float, float]) -> list[Check]:
    heads = rule("local_head", head=DEFAULT, optimizer=DEFAULT, parts=DEFAULT)
    others = {"": BACKPROP, ", against update = product": PRODUCT.having(optimizer=DEFAULT)}
    return [
        check
        for against, other in others.items()
        for check in compare(
            f"{what}{against}, {RAM.name}",
            RAM,
            CHANGE_PERCENT,
            *(side.at(model=model, batch_size=100) for side in (heads, other)),
            expected=near(published, give=3),
        )
    ]


SPYRA_DZWINEL.claim(
    "spyra-dzwinel-mono-forward",
    "Mono-Forward (a trained head per layer) needs 24.6 to 27.5 % less memory on the large MLP,"
    " none less on MNIST's.",
    source=README,
    suites=SUITES,
    checks=[
        *_heads("CIFAR-10's 3 x 2000", "mlp-3072-2000x3-10", (-27.5, -24.6)),
        *_heads("MNIST's", "mlp-784-2000x4-10", 0.3),
    ],
    remark="Ours applies gradients layer by layer, in closed form; theirs is autograd's, one layer"
    " at a time. Backpropagation that applies them so, too (update = product), is within a percent"
    " of local heads: most of it are weights and momentum. Optimiser and batch of their runs are"
    " not in the text at hand; here 100 samples, momentum. For MNIST their net is not named in it;"
    " here 4 x 2000.",
)

SPYRA_DZWINEL.claim(
    "spyra-dzwinel-mono-forward-cnn",
    "Mono-Forward (a trained head per layer) needs 24.6 to 27.5 % less memory: on convolutional"
    " nets.",
    source=README,
    suites=CNN_SUITES,
    checks=[
        check
        for what, net in CNNS.items()
        for check in compare(
            f"{what}, local heads, {RAM.name}",
            RAM,
            CHANGE_PERCENT,
            rule("local_head", head=DEFAULT, optimizer=DEFAULT, momentum=DEFAULT).at(**net),
            BACKPROP.having(momentum=DEFAULT).at(**net),
            expected=near((-27.5, -24.6), give=3),
        )
    ],
    remark="As for Forward-Forward: the nets are ours. A head per residual block, on its output"
    " averaged over windows; how much it saves is the share of activations in all bytes.",
)

# ---- Chen ----------------------------------------------------------------------------------------

CHEN = Paper("chen", "Chen (arXiv 2606.06539, 2026)")


def _accumulated(what: str, parts: Workloads, whole: Workloads) -> list[Check]:
    return compare(what, RAM, RATIO, parts, whole, expected=less(0.02, published=0.53))


MANY = rule("backprop", micro_batch=100).at(**NARROW)
FEW = rule("backprop", micro_batch=10, optimizer=DEFAULT).at(**WIDE)

IN_PARTS = rule("backprop", checkpoint=DEFAULT, update=DEFAULT, optimizer=DEFAULT)
FF_ON_CNN = rule("forward_forward", passes=DEFAULT, optimizer=DEFAULT, momentum=DEFAULT)

CHEN.claim(
    "chen-accumulation",
    "Backpropagation that accumulates gradients over small batches needs less memory than"
    " Forward-Forward (4.18 for 7.90 GB).",
    source="abstract (a CNN on a GPU of 8 GB)",
    suites=[*SUITES, *CNN_SUITES],
    checks=[
        *_accumulated(
            "ResNet-8, batch 128 in parts of 16, against FF",
            IN_PARTS.having(micro_batch=16).at(**SMALL_CNN),
            FF_ON_CNN.at(**SMALL_CNN),
        ),
        *_accumulated(
            "ResNet-18, batch 32 in parts of 4, against FF",
            IN_PARTS.having(micro_batch=4).at(**LARGE_CNN),
            FF_ON_CNN.at(**LARGE_CNN),
        ),
        *_accumulated(
            "500x4, batch 2000 in parts of 100, static + peak dynamic, against FF left to autograd",
            MANY,
            AUTOGRAD.at(**NARROW),
        ),
        *_accumulated("the same, against FF in closed form", MANY, CLOSED_FORM.at(**NARROW)),
        *_accumulated(
            "2000x4, batch 100 in parts of 10, against FF in closed form",
            FEW,
            PLAIN_CLOSED_FORM.at(**WIDE),
        ),
    ],
    remark="Accumulating saves activations, not gradients or weights: where few samples meet many"
    " weights, as on an MLP or ResNet-18 here, it costs bytes, for Forward-Forward applies each"
    " gradient at once. Chen's net is a CNN that is not named in the text at hand; these two are"
    " ours, beside a narrow MLP with 2,000 samples. Parts have statistics of their own in batch"
    " normalisation. Forward-Forward could be cut into parts of a batch as well.",
)
