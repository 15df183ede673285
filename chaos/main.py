"""The command: `python -m chaos --help`."""

import secrets
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from tests.servers.errors import ServersUnavailableError
from tests.servers.session import running_servers

from chaos.checker import check
from chaos.evidence import Evidence
from chaos.faults import FAULTS
from chaos.history import read
from chaos.options import Options
from chaos.report import lines
from chaos.run import run_until_done
from chaos.store import load
from chaos.timings import timings

NAMES = ", ".join(kind.name for kind in FAULTS)

Seed = Annotated[int | None, typer.Option(help="Decides load and faults. [default: drawn, and printed]")]
Minutes = Annotated[float, typer.Option(min=0.25, max=24 * 60, help="How long jobs are submitted and faults injected.")]
Lease = Annotated[float, typer.Option(min=3, help="OFFLOAD_LEASE_SECONDS of all processes.")]
Rate = Annotated[float, typer.Option(min=0.1, max=200, help="Jobs a second; beyond 10, light ones alone.")]
Overlap = Annotated[float, typer.Option(min=0, max=1, help="How often a second fault joins the first.")]
Only = Annotated[list[str] | None, typer.Option("--fault", metavar="NAME", help=f"Inject only: {NAMES}. Repeatable.")]
Hold = Annotated[float | None, typer.Option(min=0, help="Seconds to keep each fault. [default: each kind's own]")]
Workers = Annotated[int, typer.Option(min=1, help="Worker processes of each of the two queues.")]
Folder = Annotated[
    Path | None, typer.Option(help="Where to keep history, rows and logs; must not exist. [default: a new one]")
]
Again = Annotated[Path | None, typer.Option("--check", help="Run nothing: judge again what is in this folder.")]


def chaos(  # noqa: PLR0917 - an argument an option
    seed: Seed = None,
    minutes: Minutes = 10.0,
    lease: Lease = 30.0,
    rate: Rate = 10.0,
    overlap: Overlap = 0.2,
    fault: Only = None,
    hold: Hold = None,
    workers: Workers = 2,
    folder: Folder = None,
    again: Again = None,
) -> None:
    """Break two APIs, several workers, RabbitMQ and PostgreSQL under load, and check that no promise was broken.

    Servers come from Docker or from installed binaries, as the tests' do. Exit status 1 when an invariant did not hold.
    """
    if again is not None:
        _judge(again)
        return
    unknown = set(fault or ()) - {kind.name for kind in FAULTS}
    if unknown:
        sys.exit(f"chaos: there is no fault {', '.join(sorted(unknown))}; there are: {NAMES}")
    options = Options(
        seed=secrets.randbelow(10**6) if seed is None else seed,
        seconds=minutes * 60,
        lease_seconds=lease,
        rate=rate,
        workers=workers,
        overlap=overlap,
        only=tuple(fault or ()),
        hold_seconds=hold,
    )
    kept = _made(folder)
    print(f"Seed {options.seed}. What is seen and stored is kept in {kept}", flush=True)
    try:
        with running_servers() as servers:
            outcome = run_until_done(options, kept, servers, lambda said: print(said, flush=True))
    except ServersUnavailableError as error:
        sys.exit(f"chaos: {error}")
    except KeyboardInterrupt:
        sys.exit(f"chaos: interrupted; everything is ended. Seed {options.seed}, {kept}")
    report = "\n".join(lines(outcome))
    (kept / "report.txt").write_text(report + "\n")
    (kept / "outcome.json").write_bytes(msgspec.json.format(msgspec.json.encode(outcome)))
    print(f"\n{report}")
    sys.exit(0 if outcome.holds else 1)


def _made(folder: Path | None) -> Path:
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="offload-chaos-"))
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        sys.exit(f"chaos: {str(folder)!r} cannot be made: {error.strerror}")
    return folder.absolute()


def _judge(folder: Path) -> None:
    history, rows = read(folder / "history.jsonl"), load(folder / "rows.json")
    verdict = check(history, rows)
    print(msgspec.json.format(msgspec.json.encode((verdict.classes, timings(Evidence(history, rows))))).decode())
    for violation in verdict.violations:
        print(f"{violation.rule}: {violation.note}: {violation.what}")
    sys.exit(1 if verdict.violations else 0)


def main() -> None:
    """Run the command line."""
    typer.run(chaos)
