"""The one rule by which curvature is damped, for every estimator and removal that needs it."""

RELATIVE_DAMPING = 0.01
"""Of the largest eigenvalue. Damping decides more than the choice of the estimator does, so it is
not left to the hand."""
