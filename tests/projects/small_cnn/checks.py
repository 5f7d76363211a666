"""The test of the project; the tests of this suite put it under a name that pytest collects."""

from __future__ import annotations

import pytest
import train


@pytest.mark.training_memory(max_ram="1 MiB", golden=True)
def test_step(training_memory):
    training_memory(train.make_step())
