"""TinyFoA: layer-wise training, binary weights and activations, a slice of a layer at a time."""
