"""The memory: the only truth about what was said."""
