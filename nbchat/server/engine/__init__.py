"""The server's inside: rooms, their members, what reaches whom."""
