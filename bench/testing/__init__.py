"""A training step held to limits in somebody's own test suite; see ``pytest_plugin``.

``limits`` reads what a test asks for and ``checks`` compares a step with it, ``goldens`` compares
it with a committed file, ``base`` with another revision, which ``base_run`` measures.
``fixture`` does all that for a test, ``report`` says at the end what was found. Nothing in here
imports torch before a step is measured.
"""
