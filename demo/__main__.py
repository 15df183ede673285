"""The demo: trains a real model in a worker while the API stays free, then cancels a training that would take hours."""

import argparse
import signal
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from demo.client import Client, RequestLoop
from demo.dataset import write_digits
from demo.services import Services, services

FOLDER = Path(".offload/demo")

TRAINING = {
    "target": "digit",
    "estimator": {"name": "random-forest", "trees": 300},
    "cross_validation_folds": 5,
}
HOURS_OF_TRAINING = {
    "target": "digit",
    "estimator": {"name": "gradient-boosting", "trees": 10_000},
    "cross_validation_folds": 20,
    "cross_validation_repeats": 100,
}

console = Console(highlight=False, soft_wrap=True)


def main() -> None:
    """Run the demo against services of its own, or against those at `--url`."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--url", help="the address of a running API, which has a worker; default: start both")
    url = parser.parse_args().url
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # through the end of both services
    FOLDER.mkdir(parents=True, exist_ok=True)
    with services(FOLDER) if url is None else nullcontext() as running:
        show(running.url if running else url, running)
    if running:
        console.print("Both services have ended; nothing is left running.")


def show(url: str, running: Services | None) -> None:
    """Train, measure, and cancel."""
    client = Client(url, running.check if running else lambda: None)
    console.print(f"\n[bold]Offload[/bold] answers at {url}, {client.health()}")
    table = write_digits(FOLDER / "digits.csv")
    file_id = client.upload(table, "text/csv")
    console.print(f"Uploaded {table.name}: 1,797 scanned digits of 8 x 8 pixels, {table.stat().st_size:,} bytes.")

    job_id = client.submit("train-model", {"file_id": file_id, **TRAINING})
    console.print("\nSubmitted train-model: a random forest of 300 trees, cross-validated in 5 folds.")
    with RequestLoop(url, f"/v1/jobs/{job_id}") as requests:
        job = _follow(client, job_id)
    _require(job, "succeeded")
    _show_model(client, job_id)
    console.print(f"Meanwhile the API answered: [bold]{requests.summary()}[/bold]")
    _cancel(client, file_id, running)


def _follow(client: Client, job_id: str) -> dict[str, Any]:
    columns = (
        TextColumn("  {task.percentage:3.0f} %"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        shown = bar.add_task("waiting for a worker", total=100)
        last = ""

        def show_change(job: dict[str, Any]) -> bool:
            nonlocal last
            progress = job["progress"] or {"percent": 0, "message": job["state"]}
            if _final(job):
                progress = {"percent": 100, "message": job["state"]}
            bar.update(shown, completed=progress["percent"], description=progress["message"])
            if not console.is_terminal and progress["message"] != last:
                console.print(f"  {progress['percent']:3.0f} %  {progress['message']}")
            last = progress["message"]
            return _final(job)

        return client.follow(job_id, show_change)


def _final(job: dict[str, Any]) -> bool:
    return job["state"] in ("succeeded", "failed", "cancelled")


def _require(job: dict[str, Any], state: str) -> None:
    if job["state"] != state:
        raise SystemExit(f"job {job['id']} is {job['state']}, not {state}: {job.get('error')}")


def _show_model(client: Client, job_id: str) -> None:
    result = client.result(job_id)
    scores, baseline, folds = result["scores"], result["baseline"]["scores"], result["cross_validation"]
    rows = result["rows"]
    console.print(f"Trained on {rows['train']} rows, tested on {rows['test']} it had not seen:")
    console.print(f"  accuracy {scores['accuracy']:.3f} (always guessing one digit: {baseline['accuracy']:.3f})")
    console.print(f"  balanced accuracy {scores['balanced_accuracy']:.3f}, F1 {scores['f1_macro']:.3f}, ", end="")
    console.print(f"ROC AUC {scores['roc_auc']:.4f}")
    console.print(f"  cross-validated accuracy {folds['mean']['accuracy']:.3f} +- {folds['std']['accuracy']:.3f}")
    for name in (result["model_artifact"], result["plot_artifact"]):
        path = client.download(job_id, name, FOLDER / name)
        console.print(f"  downloaded {path} ({path.stat().st_size:,} bytes)")


def _cancel(client: Client, file_id: str, running: Services | None) -> None:
    job_id = client.submit("train-model", {"file_id": file_id, **HOURS_OF_TRAINING}, timeout_seconds=86_400)
    console.print("\nSubmitted a second training: 10,000 rounds of boosting, 2,000 times over. It would take days.")
    job = client.follow(job_id, lambda job: _final(job) or bool(job["progress"]))
    _require(job, "running")
    busy = _busy_child(running) if running else None
    if busy:
        console.print(f"It runs in process {busy.pid}, at {busy.cpu_percent(0.3):.0f} % of a core.")
    started = time.monotonic()
    status = client.cancel(job_id)
    job = client.follow(job_id, _final)
    seconds = time.monotonic() - started
    _require(job, "cancelled")
    console.print(f"POST cancel answered {status}; the job was cancelled [bold]{seconds:.2f} s[/bold] later.")
    if busy:
        if _alive(busy):
            raise SystemExit(f"process {busy.pid} is still there")
        console.print(f"Process {busy.pid} is [bold]gone[/bold].")


def _busy_child(running: Services) -> psutil.Process:
    """Return the worker's child that has computed the most since a moment ago."""
    children = running.worker.family()[1:]
    before = {child.pid: _cpu_seconds(child) for child in children}
    time.sleep(0.3)
    return max(children, key=lambda child: _cpu_seconds(child) - before[child.pid])


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        return float(process.cpu_times().user)
    except psutil.NoSuchProcess:
        return 0.0


def _alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


if __name__ == "__main__":
    main()
