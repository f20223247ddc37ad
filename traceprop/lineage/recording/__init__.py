"""Recording: what a tensor does when NumPy code touches it."""
