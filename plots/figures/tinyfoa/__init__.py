"""Figures of the TinyFoA paper, ours beside the published ones."""
