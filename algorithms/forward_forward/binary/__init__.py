"""Forward-Forward with binary weights and activations."""
