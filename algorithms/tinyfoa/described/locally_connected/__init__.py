"""TinyFoA as described, on locally connected nets."""
