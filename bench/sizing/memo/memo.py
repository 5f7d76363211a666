"""What a command remembers of predictions: its own ones, and those of commands before it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.memo.figures import Figures
from trainfit.bench.sizing.memo.identity import code_of, key_of
from trainfit.bench.sizing.memo.store import Store, cache_folder


class Memo:
    """Figures of predictions by key.

    Args:
        store: Where those of earlier commands are; None for none.

    Attributes:
        found: How many predictions were not made since they were in the store.
    """

    def __init__(self, store: Store | None) -> None:
        self._store = store
        self._texts = store.read() if store else {}
        self._known: dict[str, Figures] = {}
        self._new: dict[str, Figures] = {}
        self._code: dict[str, str | None] = {}
        self.found = 0

    def key(self, workload: Workload) -> str | None:
        """What a workload is kept by; None where the code of its rule cannot be read.

        Raises:
            ConfigurationError: There is no such algorithm.
        """
        name = workload.algorithm
        if name not in self._code:
            self._code[name] = code_of(name)
        code = self._code[name]
        return None if code is None else key_of(workload, code)

    def get(self, key: str) -> Figures | None:
        """What is known."""
        if key not in self._known and key in self._texts:
            try:
                self._known[key] = Figures.of_json(json.loads(self._texts.pop(key)))
            except (ValueError, TypeError, KeyError, AttributeError):
                return None  # not ours: it is made again, and replaced
            self.found += 1
        return self._known.get(key)

    def put(self, key: str, figures: Figures) -> None:
        """To be remembered, or something was added to it."""
        self._known[key] = self._new[key] = figures

    def save(self) -> None:
        """Write what is new."""
        if self._store is not None:
            self._store.write(self._new)
        self._new = {}


_memo: ContextVar[Memo | None] = ContextVar("memo", default=None)


def memo_for(workload: Workload) -> tuple[Memo, str] | None:
    """What the command that runs remembers, and the key of a workload; None if it does not.

    Raises:
        ConfigurationError: There is no such algorithm.
    """
    memo = _memo.get()
    key = None if memo is None else memo.key(workload)
    return None if memo is None or key is None else (memo, key)


@contextmanager
def remembering() -> Iterator[Memo]:
    """Predictions made in this block are remembered, in the block and for the next one."""
    folder = cache_folder()
    memo = Memo(None if folder is None else Store(folder))
    token = _memo.set(memo)
    try:
        yield memo
    finally:
        _memo.reset(token)
        memo.save()
