"""What is to be removed from what: the model, its training problem, the rows, the settings."""
