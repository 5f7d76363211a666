"""Cycle tables: one TOML file per processor core, with the cycles of its operations and sources."""
