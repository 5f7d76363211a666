"""Time and energy of a step on a board that is not here, as intervals."""
