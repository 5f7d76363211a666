"""Blocks in float32."""
