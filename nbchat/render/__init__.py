"""Strangers' texts made fit to be shown: HTML, lines of a terminal."""
