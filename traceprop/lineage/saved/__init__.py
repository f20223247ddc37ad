"""A lineage in a file: written, and read again without executing anything."""
