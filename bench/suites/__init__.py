"""The suites that come with trainfit, one TOML file each; :mod:`bench.suite` reads them."""
