"""Two workloads, or two revisions of one, timed in turns."""
