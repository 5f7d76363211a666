"""Training a workload to its accuracy, and the checks before it is measured."""
