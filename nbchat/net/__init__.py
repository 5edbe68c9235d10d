"""The wires: all sockets, threads and event loops."""

import logging

# Without any handler Python prints warnings to the screen, in the middle of somebody's notebook.
logging.getLogger("nbchat").addHandler(logging.NullHandler())
