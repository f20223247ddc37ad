"""Bridges to the libraries around NumPy; each is imported only when it is used."""
