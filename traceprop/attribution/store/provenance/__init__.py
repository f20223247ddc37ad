"""Samples and the source rows that they came from, in both directions."""
