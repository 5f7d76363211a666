"""The suites that come with trainfit, one TOML file each."""
