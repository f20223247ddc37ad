"""What is written down of a removal: its class, its record, the copies of rows that are left."""
