"""Random programs of torch calls, for the same oracle as those of NumPy calls."""
