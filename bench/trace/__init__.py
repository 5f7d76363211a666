"""A training step run on tensors without data, and what follows from it: bytes, operators."""
