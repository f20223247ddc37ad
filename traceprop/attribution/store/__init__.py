"""The gradient store: a folder with a run's gradients, their source rows and what was trained."""
