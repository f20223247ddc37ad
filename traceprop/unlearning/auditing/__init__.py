"""How a removal is judged: figures of models on samples, attacks on them, and the audit of both."""
