"""A training step held against limits in somebody's own test suite; see ``pytest_plugin``.

``figures`` turns a profile into plain values, ``limits`` reads what a test asks for, ``checks``
holds one against the other, ``goldens`` against a committed file, ``fixture`` does all of it for a
test, ``report`` says at the end what was found. Nothing here imports torch before a step is
measured.
"""
