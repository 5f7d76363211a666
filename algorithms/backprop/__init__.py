"""Backpropagation in float32: plain, in slices, fused with the update, or with binary weights."""
