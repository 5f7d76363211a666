"""Tensors without values, and words for the arithmetic of a step."""
