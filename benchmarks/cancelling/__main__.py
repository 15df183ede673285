"""Measures how long a cancel takes, until the job is `cancelled` and until its processes are gone, under load."""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.errors import ServersUnavailableError

from benchmarks.arguments import positive
from benchmarks.cancelling import report
from benchmarks.cancelling.cancels import measure
from benchmarks.cancelling.plan import Plan, full, quick
from benchmarks.cancelling.setups import EMBEDDED, Setup, given, started
from benchmarks.page import DOCS, write_page

TEMPLATE = Path(__file__).with_name("page.md")
INTERRUPTED = 130


def main() -> None:
    """Measure, print, and write the page."""
    options = _options()
    plan = quick() if options.quick else full(options.rounds)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    try:
        with _setups(options) as setups:
            rounds = _measure(plan, setups)
    except ServersUnavailableError as error:
        sys.exit(f"{error}\nOr measure on embedded parts alone: --embedded")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    part = report.page_part(plan, rounds)
    print(f"\n{part}\n")
    if options.quick:
        print("No file was changed: the figures of --quick are not worth showing.")
    else:
        write_page(options.docs / "cancelling.md", TEMPLATE, part)
        print(f"Wrote {options.docs / 'cancelling.md'}.")
    print(f"It took {time.monotonic() - began:.0f} s.")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cancelling",
        description=f"{__doc__} On embedded parts, and on a PostgreSQL and a RabbitMQ that it starts as the tests do "
        "unless told otherwise. Writes docs/cancelling.md. Run it while nothing else computes.",
    )
    parser.add_argument("--rounds", type=positive, default=4, help="of 30 cancels of each kind; default: %(default)s")
    parser.add_argument("--embedded", action="store_true", help="measure on embedded parts alone")
    parser.add_argument("--store", default="", help="postgresql+psycopg://..., instead of starting servers")
    parser.add_argument("--broker", default="", help="amqp://..., likewise")
    parser.add_argument("--quick", action="store_true", help="only show that it works: few cancels, no file changed")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where to write cancelling.md; default: docs")
    return parser.parse_args()


@contextmanager
def _setups(options: argparse.Namespace) -> Iterator[list[Setup]]:
    if options.embedded:
        yield [EMBEDDED]
    elif options.store or options.broker:
        yield [EMBEDDED, given(options.store, options.broker)]
    else:
        with started() as servers:
            yield [EMBEDDED, servers]


def _measure(plan: Plan, setups: list[Setup]) -> report.Rounds:
    """Measure every round on each setup in turn, so that a disturbance of the machine does not fall on one alone."""
    rounds: report.Rounds = {setup: [] for setup in setups}
    with tempfile.TemporaryDirectory(prefix="offload-bench-") as folder:
        for number in range(plan.rounds):
            for place, setup in enumerate(setups):
                done = measure(setup, plan, number, Path(folder, f"{number}-{place}"))
                rounds[setup].append(done)
                slowest = max(each.seen for each in done.cancels)
                said = f"{len(done.cancels)} jobs cancelled, the slowest in {slowest * 1000:.0f} ms"
                print(f"Round {number + 1} of {plan.rounds}, {setup.name}: {said}", flush=True)
    return rounds


if __name__ == "__main__":
    main()
