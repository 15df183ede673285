"""Keeps an API and a worker running until Ctrl-C."""

import os
import signal
import time
from pathlib import Path

from rich.console import Console

from demo.services import services


def main() -> None:
    """Start both services, print where they are, and stay."""
    console = Console(highlight=False, soft_wrap=True)
    for each in (signal.SIGTERM, signal.SIGINT):  # the latter is ignored in what a script starts in the background
        signal.signal(each, signal.default_int_handler)
    port = int(os.environ.get("OFFLOAD_PORT", "8000"))
    try:
        with services(Path(".offload/up"), port=port) as running:
            console.print(f"Offload's API: [bold]{running.url}[/bold]   OpenAPI: {running.url}/schema/openapi.json")
            console.print(f"Logs: {running.api.log}, {running.worker.log}. Ctrl-C ends both.")
            while True:
                running.check()
                time.sleep(0.5)
    except KeyboardInterrupt:
        console.print("Ended.")


if __name__ == "__main__":
    main()
