"""Backpropagation that updates chosen layers, rows or biases only."""
