"""Backpropagation that stores low-rank factors of activations."""
