"""Binary weights and activations, packed into bits."""
