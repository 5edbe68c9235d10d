"""Tests of the chat itself: no socket, no thread, no sleep; time is an argument."""
