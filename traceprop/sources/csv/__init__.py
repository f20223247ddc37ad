"""CSV files: options in, values, rows and errors out."""
