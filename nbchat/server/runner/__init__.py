"""Where a server runs: on a thread of this process, or in a child process."""
