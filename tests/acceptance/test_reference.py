"""Every example of docs/http.md, run in the document's order against a running service."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.acceptance.conftest import combination
from tests.acceptance.stack import Stack, until
from tests.issuer import AUDIENCE, served_issuer
from tests.reference import Example, examples

#: There only while more is to come.
SOMETIMES = {"Retry-After", "Idempotency-Replayed"}

#: What the examples call the last that was made, by the list that it is in.
NAMED = {"ID": "jobs", "FILE_ID": "files", "SCHEDULE_ID": "schedules", "FLOW_ID": "flows", "KEY_ID": "keys"}

#: Answers that are no success, by curl's own code for them.
CURL_REFUSED = 22


class Shell:
    """A reader of the document who types its examples, with a service, a table and an ended job at hand."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        (folder / ".curlrc").write_text("fail-with-body\n")
        rows = "\n".join(f"{row},{row % 7},{'yes' if row % 2 else 'no'}" for row in range(60))
        (folder / "table.csv").write_text(f"size,colour,sold\n{rows}\n")
        self.variables: dict[str, str] = {}
        self.cleanup = ExitStack()
        self._section: str | None = None

    def enter(self, section: str) -> None:
        """See that there is what a section starts from."""
        if section != self._section:
            self._section = section
            self.variables["OFFLOAD"] = str(self.stack.http.base_url).rstrip("/")
            GIVEN.get(section, an_ended_job)(self)

    def run(self, commands: str) -> subprocess.CompletedProcess[str]:
        """Run commands as the document has them, and remember the ids that are answered."""
        # The service's own settings, and its commands: some examples work on its store.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        mine = {"PATH": path, "CURL_HOME": str(self.folder), "no_proxy": "*"}
        environment = {**self.stack.environment, **self.variables, **mine}
        done = subprocess.run(
            ["bash", "-e"],
            input=commands,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        for name, pattern in NAMED.items():
            if made := re.findall(rf"^location: /v1/{pattern}/(\w+)", done.stdout, re.MULTILINE | re.IGNORECASE):
                self.variables[name] = made[-1]
        return done


def an_ended_job(shell: "Shell") -> None:
    shell.variables["ID"] = shell.stack.submit("echo", {"text": "Hello"})
    shell.stack.ended(shell.variables["ID"])


def a_page_of_failed_jobs(shell: Shell) -> None:
    past = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    late = {"task": "echo", "payload": {}, "deadline": past, "tags": ["orders"]}
    shell.stack.ask("POST", "/v1/jobs:batch", json={"jobs": [late] * 21})
    listed = {"state": "failed", "tag": "orders"}
    until(lambda: len(shell.stack.ask("GET", "/v1/jobs", params=listed).json()["jobs"]) == 21, "21 failed jobs")


def a_waiting_job(shell: Shell) -> None:
    shell.variables["ID"] = shell.stack.submit("echo", delay_seconds=3600)


def a_flow_of_tomorrow(shell: Shell) -> None:
    body = {"jobs": {"only": {"task": "echo", "payload": {}}}, "delay_seconds": 86_400}
    shell.variables["FLOW_ID"] = shell.stack.ask("POST", "/v1/flows", json=body).json()["id"]


def an_issuer_of_tokens(shell: Shell) -> None:
    issuer = shell.cleanup.enter_context(served_issuer())
    settings = {"OFFLOAD_AUTH": "jwt", "OFFLOAD_JWT_ISSUER": issuer.url, "OFFLOAD_JWT_AUDIENCE": AUDIENCE}
    with shell.stack.start_another_api(no_proxy="*", **settings) as asking:
        shell.variables["OFFLOAD"] = str(asking.base_url).rstrip("/")
    shell.variables |= {"ISSUER": issuer.url, "CLIENT_ID": "reader", "CLIENT_SECRET": "secret"}


def a_trained_model(shell: Shell) -> None:
    file_id = shell.stack.upload((shell.folder / "table.csv").read_bytes())
    payload = {"file_id": file_id, "target": "sold", "estimator": {"name": "linear"}}
    shell.variables["ID"] = shell.stack.submit("train-model", payload)
    assert "succeeded" == shell.stack.ended(shell.variables["ID"])["state"]


def a_webhook_that_was_told(shell: Shell) -> None:
    webhook = shell.stack.ask("POST", "/v1/webhooks", json={"url": "https://hooks.example/offload"}).json()["id"]
    an_ended_job(shell)
    log = f"/v1/webhooks/{webhook}/deliveries"
    [delivery] = until(lambda: shell.stack.ask("GET", log).json()["deliveries"], "a delivery")
    shell.variables |= {"WEBHOOK_ID": webhook, "DELIVERY_ID": delivery["id"]}


#: What the reader of a section has done before, where an ended job in `$ID` is not it.
GIVEN: dict[str, Callable[[Shell], None]] = {
    "List jobs": a_page_of_failed_jobs,
    "Cancel a job": a_waiting_job,
    "Cancel a flow": a_flow_of_tomorrow,
    "Tokens": an_issuer_of_tokens,
    "Files": a_trained_model,
    "Webhooks": a_webhook_that_was_told,
}


@pytest.fixture(scope="module")
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with combination("sqlite", request, tmp_path_factory.mktemp("services")) as stack:
        stack.start_api()
        stack.start_worker("--queue", "io", "--queue", "cpu")
        made = Shell(stack, tmp_path_factory.mktemp("reader"))
        with made.cleanup:
            yield made


def names() -> list[str]:
    found = examples()
    return [f"{each.section or 'start'} {found[: at + 1].count(each)}" for at, each in enumerate(found)]


@pytest.mark.parametrize("example", examples(), ids=names())
def test_an_example_of_the_reference_does_what_the_reference_shows(shell: Shell, example: Example) -> None:
    if example.commands.startswith("OFFLOAD="):
        return  # where the reader's own service listens
    shell.enter(example.section)

    done = shell.run(example.commands)

    refused = re.match(r"HTTP/1.1 [45]", example.shown) is not None
    hint = "give its section what it needs in GIVEN of tests/acceptance/test_reference.py, or mend the example"
    told = f"{example.commands}\n{done.stdout}\n{done.stderr}\n{hint}"
    assert (CURL_REFUSED if refused else 0) == done.returncode, told
    came = {word.lower() for word in re.findall(r"[\w-]+", done.stdout)}
    missing = [word for word in shown_to_be(example.shown) if word.lower() not in came]
    assert [] == missing, f"what is shown did not come:\n{told}"


def shown_to_be(shown: str) -> Iterator[str]:
    """Return what an output must have: the status, and the names of headers, members of JSON and fields of events."""
    head, _, rest = shown.partition("\n\n")
    if head.startswith("HTTP/"):
        status, *headers = head.splitlines()
        yield status.split(" ")[1]
        yield from {each.split(":")[0] for each in headers} - SOMETIMES
        yield from re.findall(r'"(\w+)":', rest)
    elif shown.startswith("{"):
        yield from json.loads(shown)  # within it, members come and go with the job's state
    else:
        yield from re.findall(r"^(\w+): ", shown, re.MULTILINE)
