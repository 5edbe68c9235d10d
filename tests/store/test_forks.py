"""Python's warning of a fork beside threads: not for ours alone, and as ever for a user's own."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 12) or sys.platform == "win32", reason="no such warning here"
)

FORKS = """
import os, sys, threading, nbchat
end = threading.Event()
own = threading.Thread(target=end.wait, daemon=True)

def fork():
    if not (child := os.fork()):
        os._exit(0)
    os.waitpid(child, 0)

server = nbchat.serve("class", port=0)  # a thread for the loop, two for the file
client = nbchat.connect(server, name="ada")  # and one for a client
for who in sys.argv[1:]:
    if who == "with":
        own.start()
    elif who == "without":
        end.set()
        own.join()
    fork()
"""


def warnings_of(*steps):
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", FORKS, *steps], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stderr.count("use of fork() may lead to deadlocks")


def test_a_fork_beside_our_threads_is_silent():
    assert warnings_of("ours") == 0


def test_a_fork_beside_a_users_thread_is_warned_of_as_ever():
    assert warnings_of("with") == 1


def test_each_fork_is_judged_anew():
    assert warnings_of("ours", "with") == 1
    assert warnings_of("with", "without") == 1
