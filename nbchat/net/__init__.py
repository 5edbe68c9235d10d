"""The wires: all sockets, threads and event loops."""

import logging

import nbchat.store.forks  # noqa: F401  what a fork beside our threads says

# Without any handler Python prints warnings to the screen, in the middle of somebody's notebook.
logging.getLogger("nbchat").addHandler(logging.NullHandler())
