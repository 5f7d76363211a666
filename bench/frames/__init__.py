"""Frames of runs, made from records when they are read: what figures and claims see."""
