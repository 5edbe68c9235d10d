"""One connection as the server sees it, in its dialect, with or without TLS."""
