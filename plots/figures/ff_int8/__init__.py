"""Figures of the FF-INT8 paper, ours beside the published ones."""
