"""Remove what cannot be combined: ``python -m tests.coverage_files FOLDER``.

Some tests kill processes, and one that is killed while it writes its coverage leaves a torn file.
What it had covered is lost, which is at most a few lines of that process.
"""

from __future__ import annotations

import sys
from pathlib import Path

from coverage import CoverageData
from coverage.exceptions import CoverageException


def remove_torn(folder: Path) -> list[str]:
    """Delete the data files that coverage cannot read; returns their names."""
    removed = []
    for file in sorted(folder.glob("coverage*")):
        try:
            CoverageData(str(file)).read()
        except CoverageException:
            file.unlink()
            removed.append(file.name)
    return removed


if __name__ == "__main__":
    print(f"removed as torn: {', '.join(remove_torn(Path(sys.argv[1]))) or 'none'}")
