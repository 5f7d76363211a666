"""What is measured of a trained net: its gradients, and its robustness to noise."""
