"""Answers: what is worked out from recorded operations when somebody asks."""
