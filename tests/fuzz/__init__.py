"""Inputs that are wrong in every way: mutated by a seeded generator, read in this process."""
