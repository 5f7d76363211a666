"""Workloads in processes of their own, with typed endings."""
