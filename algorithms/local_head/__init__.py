"""Layers trained one after the other, each with its own classifier."""
