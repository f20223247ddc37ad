"""Per-sample gradients, taken inside an ordinary training loop and handed to a store."""
