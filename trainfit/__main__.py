"""``python -m trainfit`` is the command ``trainfit``."""

from __future__ import annotations

from trainfit._imports import forget_current_folder

if __name__ == "__main__":
    forget_current_folder()  # ``python -m`` has put it first

    from trainfit.bench.cli.main import main

    main()
