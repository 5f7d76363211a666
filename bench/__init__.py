"""What is measured: profiler, suites, runner, records, verdicts and the command line."""
