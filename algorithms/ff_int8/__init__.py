"""FF-INT8: Forward-Forward in 8-bit integers, with look-ahead."""
