"""What lies in a store's folder: names, formats and settings, and which manifest counts."""
