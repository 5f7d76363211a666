"""A suite measured workload by workload."""
