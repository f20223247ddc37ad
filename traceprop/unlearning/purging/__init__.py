"""The second half of a removal: no copy of the rows is left in the store and in named files."""
