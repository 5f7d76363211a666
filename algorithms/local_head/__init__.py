"""Layers trained one after the other, each with a classifier of its own."""
