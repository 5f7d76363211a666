"""Figures: one file per figure, each a function from a DataFrame of records to a Figure."""
