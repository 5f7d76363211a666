"""TinyFoA as in the code released with its paper."""
