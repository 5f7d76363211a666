"""The operator table agrees with the schemas of the operators that it speaks of."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
import torch

import trainfit.algorithms
from trainfit.algorithms.numerics import operators
from trainfit.bench.trace.device.rows import Row
from trainfit.bench.trace.device.table import _KERNELS, _TORCH


def kernels() -> dict[str, torch._C.FunctionSchema]:
    """Schemas of all kernels of the project."""
    (root,) = map(Path, trainfit.algorithms.__path__)
    for file in root.rglob("*.py"):
        if re.search(r"^@operator\(", file.read_text(encoding="utf-8"), re.MULTILINE):
            parts = file.relative_to(root).with_suffix("").parts
            importlib.import_module(".".join(["trainfit.algorithms", *parts]))
    names = {schema.partition("(")[0] for _, schema in operators._defined}
    space = getattr(torch.ops, operators.NAMESPACE)
    return {name: getattr(space, name).default._schema for name in names}


def test_every_kernel_has_a_row_that_fits_its_schema() -> None:
    schemas = {
        n: s
        for n, s in kernels().items()
        if not re.match("test|example|double_|largest_of_test", n)
    }
    assert set(_KERNELS) <= set(schemas)
    for name in _KERNELS:
        check(name, schemas[name], _KERNELS[name])
    unknown = set(schemas) - set(_KERNELS)
    assert not unknown, "kernels without a row share nothing in the device view"


def check(name: str, schema: torch._C.FunctionSchema, row: Row) -> None:
    arguments = schema.arguments
    writes = {
        place
        for place, argument in enumerate(arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    }
    scratch = {k for k, argument in enumerate(arguments) if argument.name.startswith("scratch")}
    assert set(row.overwrites) <= writes - scratch, name
    assert set(row.scratch) == scratch, name
    assert row.sums is None or row.sums in scratch, name
    for place in (*row.ignores, *(row.replaces or ())):
        assert "Tensor" in str(arguments[place].type), name


@pytest.mark.parametrize("name", sorted(_TORCH))
def test_every_operator_of_torch_exists(name: str) -> None:
    assert hasattr(torch.ops.aten, name) or hasattr(torch.ops.aten, name + "_")
