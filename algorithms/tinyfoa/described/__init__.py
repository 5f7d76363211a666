"""TinyFoA as its paper describes it."""
