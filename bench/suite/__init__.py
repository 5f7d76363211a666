"""Suites: which workloads are measured and which devices judge them."""
