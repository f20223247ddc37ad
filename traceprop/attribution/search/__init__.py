"""The rows of a store with the largest inner products: by a scan, or by an index and reads."""
