"""Energy of a step by a sensor, whole and per phase."""
