"""LoRA: frozen weights, and trained low-rank factors beside them."""
