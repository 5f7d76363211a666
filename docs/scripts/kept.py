"""Write what of results/runs travels with trainfit into bench/sizing/kept."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from generated_section import ROOT
from trainfit.bench.records.reading import ENVIRONMENT, RECORDS, read_records, runs_below
from trainfit.bench.records.schema import Record
from trainfit.bench.sizing.kept import FOLDER, reduced

RUNS = ROOT / "results" / "runs"
KEPT = ROOT / "bench" / "sizing" / FOLDER


def wanted(runs: Path) -> dict[str, bytes]:
    """What the folder has to hold: contents by path, of every run that tested what it trained."""
    found: dict[str, bytes] = {}
    for run in runs_below(runs):
        records = [
            reduced(each)
            for each in read_records(run)
            if each.accuracy is not None and each.accuracy.test_accuracy is not None
        ]
        if records:
            found[f"{run.name}/{RECORDS}"] = b"".join(map(_line, records))
            found[f"{run.name}/{ENVIRONMENT}"] = (run / ENVIRONMENT).read_bytes()
    return found


def _line(record: Record) -> bytes:
    """A record without what has its default value, but with its version."""
    values = record.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    text = json.dumps({"schema": record.schema_} | values, separators=(",", ":"))
    return text.encode() + b"\n"


def present(kept: Path) -> dict[str, bytes]:
    """What it holds."""
    files = (path for path in kept.rglob("*") if path.is_file())
    return {path.relative_to(kept).as_posix(): path.read_bytes() for path in files}


def main() -> int:
    """Write the folder, or with ``--check`` say whether it is current."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, 1 if outdated")
    new = wanted(RUNS)
    if parser.parse_args().check:
        outdated = new != present(KEPT)
        if outdated:
            sys.stderr.write(f"{KEPT}: is outdated; run this without --check\n")
        return int(outdated)
    shutil.rmtree(KEPT, ignore_errors=True)
    for name, content in new.items():
        (KEPT / name).parent.mkdir(parents=True, exist_ok=True)
        (KEPT / name).write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
