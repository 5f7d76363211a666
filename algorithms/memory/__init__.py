"""A rule's step as a list of births and deaths of tensors, and its count of operations."""
