"""Waits for the end of a test session, however it ends, and removes the run: `python -m tests.servers.reaper RUN`."""

import sys
from pathlib import Path

from tests.servers.run import remove_run

if __name__ == "__main__":
    sys.stdin.read()
    remove_run(Path(sys.argv[1]))
