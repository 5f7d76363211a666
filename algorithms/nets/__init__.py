"""Base classes and layers of rules on fully connected nets."""
