"""Random bytes and random conversations at every door; only documented errors may come out."""
