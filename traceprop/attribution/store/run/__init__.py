"""What one commit brings: the training's record, its rows, and where they go."""
