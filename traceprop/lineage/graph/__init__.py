"""The graph of recorded operations: nodes, the edges along which rows pass, and drawings."""
