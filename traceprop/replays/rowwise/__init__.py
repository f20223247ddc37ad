"""Which recorded steps prepare each row by itself, so that they can be done on new rows."""
