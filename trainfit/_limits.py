"""How large what trainfit reads may be: every limit, in one place (see ``docs/limits.md``).

A leaf: it imports nothing. A limit is there so that a wrong or hostile input ends with a message at
once, not after minutes and gigabytes; all are far above what anybody needs.
"""

from __future__ import annotations

LARGEST_TEXT = 4 << 20
"""Bytes of a file that people write: suites, devices, claims."""
LARGEST_DOCUMENT = 256 << 20
"""Bytes of a file that programs write and that is read whole: goldens, benchmarks, recordings."""
LONGEST_LINE = 64 << 20
"""Bytes of one line of ``records.jsonl`` or ``timelines.jsonl``; the files may be of any length."""

DEEPEST_NESTING = 64
"""Tables and lists inside each other."""
LARGEST_INTEGER = 2**63 - 1
"""TOML's own limit; what is counted here, bytes and operations, stays far below."""

LONGEST_NAME = 1_000
"""Characters of the name of a model, data set, algorithm or option."""
LONGEST_WORKLOAD = 20_000
"""Characters of a workload, a budget or an option as a person types it."""
LONGEST_ECHO = 120
"""Characters of a value that a message repeats; the middle of a longer one is left out."""
LONGEST_MESSAGE = 2_000
"""Characters of a message on the terminal, likewise."""

MOST_WORKLOADS = 20_000
"""Workloads of one suite, once lists are expanded; checking them takes seconds."""
MOST_DEVICES = 1_000
"""Devices of one suite."""

MOST_LAYERS = 999
"""Layers of a net between input and classes."""
MOST_DEEP_STAGES = 128
"""Hidden layers of a rule whose stages each run all layers below: it takes their number squared."""
MOST_PARAMETERS = 10**15
"""Parameters of a net: 4 PB of float32."""
MOST_GENERATED = 1 << 29
"""Bytes of generated data."""
