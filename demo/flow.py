"""A flow: trains a model, predicts with it and renders a report side by side, and mails both."""

import argparse
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope
from rich.console import Console
from rich.live import Live
from rich.table import Table

from demo.client import Client
from demo.dataset import write_digits
from demo.services import services

FOLDER = Path(".offload/demo-flow")
#: The rest of the digits are new to the model.
KNOWN = 1500
SENDER = "models@example.org"
LOOK_SECONDS = 0.1

console = Console(highlight=False, soft_wrap=True)


def main() -> None:
    """Run the flow on services, and a mail server, of its own."""
    argparse.ArgumentParser(prog="python -m demo.flow", description=__doc__).parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # through the end of all services
    FOLDER.mkdir(parents=True, exist_ok=True)
    with _mail_server() as (port, mails):
        settings = {"OFFLOAD_SMTP_URL": f"smtp://127.0.0.1:{port}", "OFFLOAD_SMTP_FROM": SENDER}
        with services(FOLDER, settings=settings) as running:
            client = Client(running.url, running.check)
            console.print(f"\n[bold]Offload[/bold] answers at {running.url}, {client.health()}")
            _show(client)
        _show_mail(mails)
    console.print("All services have ended; nothing is left running.")


def _show(client: Client) -> None:
    known = client.upload(write_digits(FOLDER / "known.csv", slice(KNOWN)), "text/csv")
    new = client.upload(write_digits(FOLDER / "new.csv", slice(KNOWN, None)), "text/csv")
    flow_id = client.submit_flow(jobs(known, new))
    console.print("Submitted four jobs by one request; each starts once those that it follows have ended.\n")
    with Live(console=console, auto_refresh=False) as live:
        while True:
            flow = client.flow(flow_id)
            live.update(_table(flow), refresh=console.is_terminal)
            if flow["state"] != "running":
                live.update(_table(flow), refresh=True)
                break
            time.sleep(LOOK_SECONDS)
    if flow["state"] != "succeeded":
        errors = {name: job["error"] for name, job in flow["jobs"].items() if job["error"]}
        raise SystemExit(f"flow {flow_id} has {flow['state']}: {errors}")


def jobs(known: str, new: str) -> dict[str, Any]:
    """Return the flow's jobs; `known` and `new` are uploaded tables."""
    trained = {"$job": "train"}
    return {
        "train": {"task": "train-model", "payload": {"file_id": known, "target": "digit"}},
        "predict": {
            "task": "predict",
            "payload": {"model": {"job": trained, "name": "model.onnx"}, "data": new, "keep": ["digit"]},
        },
        "report": {
            "task": "render-report",
            "payload": {
                "template": "training-report",
                "data": {"$result": "train"},
                "files": {"plot.png": {"job": trained, "name": "metrics.png"}},
            },
        },
        "mail": {
            "task": "send-email",
            "payload": {
                "to": ["Ada Lovelace <ada@example.org>"],
                "subject": "A model of handwritten digits: {{ accuracy | times: 100 | round: 1 }} % accurate",
                "text": "{{ rows }} new digits are in predictions.csv, and how the model was made in report.pdf.\n",
                "template_data": {
                    "accuracy": {"$result": "train", "at": "/scores/accuracy"},
                    "rows": {"$result": "predict", "at": "/rows"},
                },
                "attachments": [
                    {
                        "name": "report.pdf",
                        "media_type": "application/pdf",
                        "source": {"job": {"$job": "report"}, "name": "report.pdf"},
                    },
                    {
                        "name": "predictions.csv",
                        "media_type": "text/csv",
                        "source": {"job": {"$job": "predict"}, "name": {"$result": "predict", "at": "/artifact"}},
                    },
                ],
            },
        },
    }


def _table(flow: dict[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("  job", "after", "state"):
        table.add_column(column, no_wrap=True)
    table.add_column("progress", max_width=32)
    for name, job in flow["jobs"].items():
        said = job["progress"]["message"] if job["state"] == "running" and job["progress"] else ""
        table.add_row(f"  {name}", ", ".join(job["after"]), job["state"], said)
    return table


class _Mails:
    def __init__(self) -> None:
        self.contents: list[bytes] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        self.contents.append(envelope.original_content or b"")
        return "250 taken"


@contextmanager
def _mail_server() -> Iterator[tuple[int, list[bytes]]]:
    mails, port = _Mails(), _free_port()
    controller = Controller(mails, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield port, mails.contents
    finally:
        controller.stop()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _show_mail(mails: list[bytes]) -> None:
    if len(mails) != 1:
        raise SystemExit(f"{len(mails)} mails have come, not one")
    mail = message_from_bytes(mails[0], policy=policy.default)
    body = mail.get_body(("plain",))
    console.print(f"\n\nThe mail that came: [bold]{mail['subject']}[/bold]")
    console.print(f"  {body.get_content().strip() if body else ''}")
    for each in mail.iter_attachments():
        content = each.get_content()
        content = content.encode() if isinstance(content, str) else content
        path = FOLDER / str(each.get_filename())
        path.write_bytes(content)
        console.print(f"  saved {path} ({len(content):,} bytes)")


if __name__ == "__main__":
    main()
