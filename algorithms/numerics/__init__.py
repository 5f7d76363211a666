"""Arithmetic that training rules share: optimisers in place, packed bits, low-bit products."""
