"""Sources: where rows come from, and how they are still named years later."""
