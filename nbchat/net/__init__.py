"""The wires: all sockets, threads and event loops."""
