"""Recorded row-wise steps with their statistics frozen: compiled, applied to new rows, kept."""
