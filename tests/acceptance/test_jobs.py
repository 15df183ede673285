import csv
import io
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import numpy
import onnxruntime
import pytest
from pypdf import PdfReader
from sklearn.datasets import load_iris, load_wine
from sqlalchemy import func, select

from offload_shared.store.database import Database
from offload_shared.store.schema import job
from tests.acceptance.conftest import COMBINATIONS, EMBEDDED_AND_WHOLE, combination
from tests.acceptance.stack import Stack, gone, until

MANY = 60
CANARIES = {
    "OFFLOAD_CANARY": "canary-1",
    "AWS_SECRET_ACCESS_KEY": "canary-2",
    "SECRET_CANARY": "canary-3",
    "PGPASSWORD": "canary-4",
}


@pytest.fixture(scope="module", params=COMBINATIONS)
def services(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An API and a worker that the tests of this module share: none of them takes anything away."""
    with combination(request.param, request, tmp_path_factory.mktemp("services")) as stack:
        stack.start_api()
        stack.environment |= CANARIES
        stack.start_worker()
        yield stack


@pytest.mark.parametrize("task", ["probe", "probe-thread", "probe-event-loop"])
def test_a_job_runs_where_its_task_belongs_and_its_result_is_stored(services: Stack, task: str) -> None:
    job_id = services.submit(task, {"note": "done"})

    assert {"attempt": 1, "note": "done"} == {
        name: value for name, value in services.result(job_id).items() if name != "pid"
    }
    assert ["succeeded"] == services.outcomes(job_id)


def test_many_jobs_each_run_once(services: Stack) -> None:
    ids = [services.submit("echo", {"text": str(number)}) for number in range(MANY)]

    assert [{"text": str(number)} for number in range(MANY)] == [services.result(job_id) for job_id in ids]
    assert {1} == {services.job(job_id)["attempt"] for job_id in ids}


def test_a_flow_runs_in_its_order_and_each_job_takes_what_the_one_before_has_made(services: Stack) -> None:
    chain = {"0": {"task": "echo", "payload": {"text": "handed on"}}} | {
        f"{number}": {"task": "echo", "payload": {"text": {"$result": f"{number - 1}", "at": "/text"}}}
        for number in range(1, 4)
    }
    many = {f"many-{number}": {"task": "echo", "payload": {}, "after": ["3"]} for number in range(MANY)}
    last = {"last": {"task": "probe", "payload": {"action": "return"}, "after": list(many)}}
    flow = services.ask("POST", "/v1/flows", json={"jobs": {**last, **many, **chain}}).json()

    assert "succeeded" == services.ended(flow["jobs"]["last"]["id"])["state"]
    assert {"text": "handed on"} == services.result(flow["jobs"]["3"]["id"])
    ended = services.ask("GET", flow["links"]["self"]).json()
    assert ("succeeded", {1}) == (ended["state"], {job["attempt"] for job in ended["jobs"].values()})


def test_a_model_is_trained_on_an_uploaded_table_and_downloaded(services: Stack) -> None:
    services.start_worker("--queue", "cpu", "--slots", "1")
    wine = load_wine()
    table = io.StringIO()
    rows = [[*row, f"cultivar {kind}"] for row, kind in zip(wine.data, wine.target, strict=True)]
    csv.writer(table, delimiter=";").writerows([[*wine.feature_names, "cultivar"], *rows])
    file_id = services.upload(table.getvalue().encode())

    job_id = services.submit("train-model", {"file_id": file_id, "target": "cultivar"})

    result = services.result(job_id)
    assert result["scores"]["accuracy"] > 0.9
    assert {"model.onnx", "metrics.png"} == {each["name"] for each in services.job(job_id)["artifacts"]}
    model = services.http.get(f"/v1/jobs/{job_id}/artifacts/model.onnx").content
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    columns = dict(zip(wine.feature_names, wine.data.T.astype(numpy.float32), strict=True))
    inputs = {each.name: columns[each.name].reshape(-1, 1) for each in session.get_inputs()}
    predicted = session.run(None, inputs)[0]
    assert numpy.mean(predicted.ravel() == numpy.array([row[-1] for row in rows])) > 0.9

    plot = {"plot.png": {"job": job_id, "name": "metrics.png"}}
    rendered = services.submit("render-report", {"template": "training-report", "data": result, "files": plot})
    pages = services.result(rendered)["pages"]
    report = services.http.get(f"/v1/jobs/{rendered}/artifacts/report.pdf")
    assert "application/pdf" == report.headers["Content-Type"]
    assert pages == len(PdfReader(io.BytesIO(report.content)).pages) > 1
    wild = services.upload(b"#let f(n) = range(n).map(i => range(n).map(f))\n#f(1000)", "text/plain")
    endless = services.submit("render-report", {"template_file": wild, "data": {}}, timeout_seconds=3)
    assert "failed" == services.ended(endless)["state"]


def test_a_trained_model_predicts_and_stays_loaded_in_its_child(services: Stack) -> None:
    services.start_worker("--queue", "cpu", "--slots", "1")
    iris = load_iris()
    table = io.StringIO()
    rows = [[*row, f"kind {kind}"] for row, kind in zip(iris.data, iris.target, strict=True)]
    csv.writer(table).writerows([[*iris.feature_names, "kind"], *rows])
    file_id = services.upload(table.getvalue().encode())
    trained = services.submit("train-model", {"file_id": file_id, "target": "kind"})
    services.result(trained)

    model = {"job": trained, "name": "model.onnx"}
    of_file = services.submit("predict", {"model": model, "data": file_id, "keep": ["kind"]})
    assert len(rows) == services.result(of_file)["rows"]
    few = [dict(zip(iris.feature_names, map(float, row), strict=True)) for row in iris.data[::50]]
    inline = [services.submit("predict", {"model": model, "rows": few}) for _ in range(6)]  # more than children
    foreign = services.submit("predict", {"model": file_id, "rows": few})

    answer = services.http.get(f"/v1/jobs/{of_file}/artifacts/predictions.csv")
    found = list(csv.DictReader(io.StringIO(answer.text)))
    assert sum(row["kind"] == row["prediction"] for row in found) > 0.95 * len(rows)
    assert ["kind 0", "kind 1", "kind 2"] == [each["prediction"] for each in services.result(inline[0])["predictions"]]
    assert any("loaded already" in services.output(job_id) for job_id in inline if services.result(job_id))
    assert "not an ONNX file" in services.ended(foreign)["error"]["detail"]


@pytest.mark.parametrize("task", ["probe", "probe-thread", "probe-event-loop"])
def test_a_handler_reads_an_uploaded_file_and_leaves_an_artifact(services: Stack, task: str) -> None:
    file_id = services.upload("Grüße".encode(), "text/plain")

    read = services.submit(task, {"action": "read-file", "file_id": file_id})
    left = services.submit(task, {"action": "artifact", "note": "to keep"})

    assert "Grüße" == services.result(read)["note"]
    assert "has read Grüße\n" == services.output(read)
    services.result(left)
    answer = services.http.get(f"/v1/jobs/{left}/artifacts/note.txt")
    assert ("to keep", "text/plain") == (answer.text, answer.headers["Content-Type"].split(";")[0])


@pytest.mark.parametrize("task", ["probe", "probe-thread", "probe-event-loop"])
def test_a_handler_reads_what_an_earlier_job_left_behind(services: Stack, task: str) -> None:
    left = services.submit(task, {"action": "artifact", "note": "to keep"})
    services.result(left)

    read = services.submit(task, {"action": "read-artifact", "job_id": left})

    assert "to keep" == services.result(read)["note"]


def test_an_artifact_that_is_not_there_fails_the_job_with_a_sentence(services: Stack) -> None:
    job = services.ended(services.probe("read-artifact", job_id="0" * 32))

    assert "failed" == job["state"]
    assert "there is no artifact 'note.txt'" in job["error"]["detail"]


def test_a_file_that_is_not_there_fails_the_job_with_a_sentence(services: Stack) -> None:
    job = services.ended(services.probe("read-file", file_id="0" * 32))

    assert "failed" == job["state"]
    assert "upload it first" in job["error"]["detail"]


@pytest.mark.parametrize(
    ("action", "outcomes"),
    [
        ("raise-once", ["error", "succeeded"]),
        ("raise", ["error", "error"]),
        ("reject", ["rejected"]),
        ("kill-once", ["crashed", "succeeded"]),
        ("exit", ["crashed"] * 3),
        ("segfault", ["crashed"] * 3),
        ("broken-frame", ["crashed"] * 3),
        ("large-result", ["result_too_large"]),
        ("allocate", ["out_of_memory"]),
    ],
)
def test_a_job_that_ends_badly_says_how(services: Stack, action: str, outcomes: list[str]) -> None:
    job_id = services.probe(action)

    services.ended(job_id)

    assert outcomes == services.outcomes(job_id)


def test_a_job_out_of_time_is_ended_also_inside_c_code(services: Stack) -> None:
    job_id = services.submit("probe", {"action": "spin-in-c"}, timeout_seconds=1)
    [pid] = services.reports(job_id)

    assert "failed" == services.ended(job_id)["state"]
    assert ["timeout"] == services.outcomes(job_id)
    assert gone(pid)


@pytest.mark.parametrize("action", ["spin", "spin-in-c", "ignore-sigterm", "block", "grandchild", "daemon"])
def test_a_cancelled_job_and_all_it_started_is_gone(services: Stack, action: str) -> None:
    job_id = services.probe(action, seconds=100_000)
    pids = services.reports(job_id)

    answer = services.ask("POST", f"/v1/jobs/{job_id}/cancel")

    assert 202 == answer.status_code
    assert "cancelled" == services.ended(job_id)["state"]
    until(lambda: all(gone(pid) for pid in pids), "the end of its processes")


@pytest.mark.parametrize("task", ["probe-thread", "probe-event-loop"])
def test_a_cancelled_job_of_a_thread_or_an_event_loop_ends_at_its_next_checkpoint(services: Stack, task: str) -> None:
    job_id = services.submit(task, {"action": "sleep", "seconds": 100_000})
    until(lambda: services.job(job_id)["state"] == "running", "its start")

    services.cancel(job_id)

    assert "cancelled" == services.ended(job_id)["state"]


def test_a_child_sees_no_secret_of_its_worker(services: Stack) -> None:
    urls = [services.environment["OFFLOAD_STORE_URL"], services.environment["OFFLOAD_BROKER_URL"]]
    passwords = [password for url in urls if (password := urlsplit(url).password)]

    seen = services.result(services.probe("surroundings"))["note"]

    assert "HOME=" in seen
    assert {"OFFLOAD_MARK"} == {name for name in re.findall(r"^(\w+)=", seen, re.MULTILINE) if "OFFLOAD" in name}
    assert [] == [secret for secret in [*CANARIES, *CANARIES.values(), *passwords] if secret in seen]


def test_an_urgent_job_overtakes_a_backlog(stack: Stack) -> None:
    stack.start_api()
    waiting = [stack.submit("probe", priority=0) for _ in range(20)]
    urgent = stack.submit("probe", priority=9)

    stack.start_worker("--queue", "probe", "--slots", "1")

    started = {job_id: stack.ended(job_id)["started_at"] for job_id in [urgent, *waiting]}
    assert sum(started[urgent] > started[job_id] for job_id in waiting) <= 1


@pytest.mark.parametrize("stack", EMBEDDED_AND_WHOLE, indirect=True)
def test_an_urgent_job_overtakes_a_backlog_of_ten_thousand(stack: Stack) -> None:
    stack.start_api()
    batch = {"jobs": [{"task": "probe", "payload": {}, "priority": 0}] * 1000}
    for _ in range(10):
        assert 202 == stack.ask("POST", "/v1/jobs:batch", json=batch).status_code
    stack.start_worker("--queue", "probe", "--slots", "1")
    until(lambda: stack.ask("GET", "/v1/jobs?state=succeeded").json()["jobs"], "the first of them to end")

    urgent = stack.submit("probe", priority=9)

    stack.ended(urgent)
    database = Database(stack.environment["OFFLOAD_STORE_URL"] or f"sqlite:///{stack.folder / 'data' / 'offload.db'}")
    mine = select(job.c.created_at, job.c.started_at).where(job.c.id == urgent).subquery()
    meanwhile = select(func.count()).where(job.c.started_at.between(mine.c.created_at, mine.c.started_at))
    behind = select(func.count()).select_from(job).where(job.c.state == "queued")
    started, waiting = database.read(lambda found: [found.execute(each).scalar_one() for each in (meanwhile, behind)])
    database.dispose()
    # While its hint is on its way the worker goes on with the backlog.
    assert started <= 100
    assert waiting > 5_000
