"""One TOML file per processor core: how many cycles its operations take, and who says so."""
