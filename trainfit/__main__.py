"""``python -m trainfit`` is the command ``trainfit``."""

from __future__ import annotations

from trainfit.bench.cli.main import main

if __name__ == "__main__":
    main()
