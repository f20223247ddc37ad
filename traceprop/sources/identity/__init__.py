"""How a row is known again: where it stands, what it hashes to, and what became of it."""
