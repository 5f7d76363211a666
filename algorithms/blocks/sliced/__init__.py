"""Blocks of which a group of output channels is trained at a time, in float32 or one bit."""
