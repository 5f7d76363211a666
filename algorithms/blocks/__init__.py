"""What units compute: blocks with a forward pass, gradients in closed form, and an update."""
