"""The server: serve(), where it listens, and what is behind it."""
