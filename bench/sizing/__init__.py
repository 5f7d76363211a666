"""The largest size that fits, and what to train on a device at all."""
