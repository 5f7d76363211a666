"""The closed form: a rule's step as births and deaths of tensors, and its count of operations."""
