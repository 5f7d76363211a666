"""Forward-Forward in float32, with local gradients in closed form or by autograd."""
