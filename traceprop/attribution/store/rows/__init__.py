"""Rows of gradients: written as shards, and read from them."""
