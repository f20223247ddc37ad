"""Torch tensors with lineage: the same row rules as NumPy's, by `__torch_function__`."""
