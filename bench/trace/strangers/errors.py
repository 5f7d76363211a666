"""Steps that cannot be predicted, and why."""

from __future__ import annotations

from trainfit.bench.errors import BenchError


class UntraceableError(BenchError):
    """A step's bytes do not follow from its code alone; the message says where and why."""


class ReadsDataError(UntraceableError):
    """What the step does depends on values of tensors."""


class UnsettledError(UntraceableError):
    """The step never does the same twice in a row."""
