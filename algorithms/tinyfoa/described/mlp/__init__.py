"""TinyFoA as described, on fully connected nets."""
