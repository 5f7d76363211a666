"""Backpropagation in 8-bit integers: naive, UI8, DAI8, and nets quantised for inference."""
