"""The load generator: sends light requests at a fixed pace and notes how long each took. A process of its own.

    python -m benchmarks.latency.load http://127.0.0.1:8000/v1/jobs/01a211e39eff7db5a8678c7bee86bce5

It prints `ready`, sends until its standard input ends, then prints a JSON list of `[intended, milliseconds, refused]`,
where `intended` is the time of `time.monotonic()` at which the request was due, and `refused` says that the answer was
503: the API's own when its store does not answer in time.

Coordinated omission: a client that waits for an answer before it sends the next request sends few requests while the
server stalls, and so hardly notices the stall. Here each request has a time at which it is due, fixed in advance, and
its latency counts from then, whether or not its connection was free. A stall of a second is thus seen by every request
that was due in that second, as it would be by users who do not know of each other.
"""

import argparse
import http.client
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

#: Of all connections together.
REQUESTS_PER_SECOND = 150
#: So many that a request seldom waits for its connection's last answer: each has one due every 2.7 s. With few, a stall
#: would also delay requests that are due after it, and the server would seem slower than it is.
CONNECTIONS = 400
#: Far more than any stall.
TIMEOUT_SECONDS = 120

OK = 200
UNAVAILABLE = 503

Sample = tuple[float, float, bool]


class End:
    """The time until which requests are due; those due before it are all sent, however late."""

    def __init__(self) -> None:
        self.at = float("inf")
        self._known = threading.Event()

    def now(self) -> None:
        """Let no more requests become due."""
        self.at = time.monotonic()
        self._known.set()

    def wait_until(self, moment: float) -> None:
        """Wait until a time, or until the end is known."""
        self._known.wait(max(0.0, moment - time.monotonic()))


class Pacer:
    """Sends requests on one connection, each at its time, until told to end."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._path = parts.path
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_SECONDS)
        self._request()

    def run(self, first: float, end: End) -> list[Sample]:
        """Send from the time `first` on; returns a sample for each request."""
        samples: list[Sample] = []
        intended = first
        while True:
            end.wait_until(intended)
            if intended > end.at:
                return samples
            refused = self._request()
            samples.append((intended, (time.monotonic() - intended) * 1000, refused))
            intended += CONNECTIONS / REQUESTS_PER_SECOND

    def _request(self) -> bool:
        self._connection.request("GET", self._path)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status not in (OK, UNAVAILABLE):
            raise RuntimeError(f"GET {self._path} answered {answer.status}: {body!r}")
        return answer.status == UNAVAILABLE


def main() -> None:
    """Send until standard input ends, and print the samples."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency.load", description="Sends requests at a pace.")
    parser.add_argument("url", help="what to GET over and over")
    url = parser.parse_args().url
    threading.stack_size(256 * 1024)
    pacers = [Pacer(url) for _ in range(CONNECTIONS)]
    end = End()
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        began = time.monotonic()
        running = [threads.submit(each.run, began + n / REQUESTS_PER_SECOND, end) for n, each in enumerate(pacers)]
        print("ready", flush=True)
        sys.stdin.read()
        end.now()
        samples = [sample for each in running for sample in each.result()]
    json.dump(sorted(samples), sys.stdout)


if __name__ == "__main__":
    main()
