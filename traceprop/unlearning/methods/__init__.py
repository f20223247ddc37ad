"""How samples are taken out: a module per method, and what a method hands back."""
