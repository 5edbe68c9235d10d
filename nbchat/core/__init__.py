"""The chat itself: no socket, thread, clock, file, database or Jupyter in here."""
