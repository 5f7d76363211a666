"""Architectures by name, one per file: each gives the units for a shape of input and classes."""
