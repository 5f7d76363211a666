"""TinyFoA as the code released with its paper does it."""
