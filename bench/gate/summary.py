"""The summary of a step of a GitHub job: a file that every command of the step adds to."""

from __future__ import annotations

from pathlib import Path

from trainfit.bench.errors import BenchError

MOST_BYTES = 1_048_576
"""So much GitHub takes for one step; of more it shows nothing at all."""


class SummaryError(BenchError):
    """The summary cannot be written."""


def write_summary(file: Path, page: str) -> None:
    """Add a page to the summary; its heading only, where there is no room for more.

    Raises:
        SummaryError: It cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        taken = file.stat().st_size if file.exists() else 0
        if taken + len(page.encode()) > MOST_BYTES:
            page = f"{page.splitlines()[0]}\n\nThe summary of this step is full; its log has all.\n"
        with file.open("a", encoding="utf-8") as stream:
            stream.write(page)
    except OSError as error:
        raise SummaryError(
            f"GITHUB_STEP_SUMMARY {file}: cannot be written: {error.strerror}"
        ) from error
