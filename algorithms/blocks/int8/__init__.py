"""Blocks whose products have INT8 operands."""
