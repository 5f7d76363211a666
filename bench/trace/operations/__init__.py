"""The arithmetic of a step from its trace: a row for every operator."""

from trainfit.bench.trace.operations.counting import (
    Counted,
    UncountedOperatorError,
    known_operations_of,
    operations_of,
)

__all__ = ["Counted", "UncountedOperatorError", "known_operations_of", "operations_of"]
