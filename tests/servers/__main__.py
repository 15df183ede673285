"""Gets ready what the tests' servers need, with nothing hidden by pytest's capture: `python -m tests.servers`."""

import os
import sys

from tests.servers.errors import ServersUnavailableError
from tests.servers.session import CHOICE, open_way

if __name__ == "__main__":
    try:
        open_way(os.environ.get(CHOICE, ""))
    except ServersUnavailableError as error:
        sys.exit(str(error))
