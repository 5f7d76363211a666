"""The claims ledger: what papers claim, compared with records."""
