"""Arithmetic shared by training rules: in-place optimisers, packed bits, low-bit products."""
