"""Forward-Forward in float32, by closed-form or automatic local gradients."""
