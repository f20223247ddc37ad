"""Samples taken out of a store, and its files searched for what is left of them."""
