"""A training step held to limits in somebody's own test suite; see ``pytest_plugin``.

``limits`` reads what a test asks for and compares a step with it, ``goldens`` compares it with a
committed file, ``fixture`` does both for a test, ``report`` says at the end what was found. Nothing
here imports torch before a step is measured.
"""
