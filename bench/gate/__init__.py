"""The gate: measured bytes compared with committed ones, at tolerance 0."""
