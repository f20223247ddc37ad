"""Models seen as losses: objectives, derivatives, solvers; attribution and removal share them.

Nothing is imported here: `losses`, `digest` and `architecture` are read by code that must start
without torch, and import it only inside the functions that need it.
"""
