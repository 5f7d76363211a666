"""What is measured: profiler, suites, runner, records, verdicts and the command line."""

if __name__ != "trainfit.bench":  # found by its place on the path, a second copy
    raise ImportError("import trainfit.bench, not bench: it is installed under that name")
