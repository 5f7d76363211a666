"""Backpropagation that updates only chosen layers, rows or biases."""
