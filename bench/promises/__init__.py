"""What every rule promises, each a small check: ``trainfit check``, and ``tests/contract``."""
