"""A training step that is not ours, traced without running it: nothing is computed or written."""
