"""Backpropagation in float32: whole, in slices, fused with the update, or with binary weights."""
