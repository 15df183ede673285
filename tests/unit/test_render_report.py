"""`render-report` on real data: what is in the PDF is read out of it again."""

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image
from pypdf import PdfReader

from offload_shared.tasks.render_report import RenderReport, RenderReportResult
from offload_testing.job import FakeJob
from offload_worker.handle import JobRejected
from offload_worker.handlers.render_report import render_report
from offload_worker.handlers.reporting import project
from tests.unit.train_model_tables import FEW_TREES, bundled, mixed, small, train

TEMPLATE, FILE = "a" * 32, "b" * 32


@pytest.fixture(autouse=True)
def _environment_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "")
        monkeypatch.setenv(name.upper(), "")


def render(job: FakeJob, **wishes: Any) -> RenderReportResult:
    body = json.dumps({"data": {}, **wishes})
    return render_report(msgspec.json.decode(body, type=RenderReport), job)


def rendered(folder: Path, template: str | bytes, files: dict[str, bytes] | None = None, **wishes: Any) -> str:
    """Return the text of what an uploaded template makes."""
    job = FakeJob(folder)
    job.upload(TEMPLATE, template.encode() if isinstance(template, str) else template)
    ids = {name: job.upload(f"{place:032x}", content) for place, (name, content) in enumerate((files or {}).items())}
    render(job, template_file=TEMPLATE, files=ids, **wishes)
    return text_of(folder)


def text_of(folder: Path) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(folder / "report.pdf").pages)


def archive(*files: tuple[str | zipfile.ZipInfo, str | bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files:
            made.writestr(name, content)
    return packed.getvalue()


def png(width: int = 40, height: int = 30) -> bytes:
    made = io.BytesIO()
    Image.new("1", (width, height)).save(made, "PNG")
    return made.getvalue()


@pytest.mark.parametrize(
    ("table", "wishes"),
    [
        (bundled("wine"), {"cross_validation_folds": 3}),
        (bundled("digits"), {}),
        (bundled("diabetes"), {}),
        (mixed(), {"estimator": {"name": "linear"}}),
        (small(lambda row: [row, row % 7, f"Klasse {row % 50} 日本"], ["x" * 200, "Größe", "target"], rows=600), {}),
    ],
)
def test_the_result_of_a_training_becomes_a_report(tmp_path: Path, table: bytes, wishes: dict[str, Any]) -> None:
    result, job = train(tmp_path, table, **{"estimator": FEW_TREES, **wishes})
    data = json.loads(msgspec.json.encode(result))
    job.upload(FILE, (tmp_path / "metrics.png").read_bytes())

    told = render(job, template="training-report", data=data, files={"plot.png": FILE}, footer="for the board")

    text = text_of(tmp_path)
    assert () == told.warnings
    assert told.pages == len(PdfReader(tmp_path / "report.pdf").pages) >= 2
    assert f"Predicting {result.target}" in text
    assert "What the model relies on" in text
    assert f"on {result.rows.train} rows" in text
    assert told.pages == text.count("for the board")
    assert {"report.pdf": "application/pdf"}.items() <= job.artifacts.items()


def test_a_document_has_the_texts_tables_charts_and_images_of_its_data(tmp_path: Path) -> None:
    job = FakeJob(tmp_path)
    job.upload(FILE, png())
    series = [{"name": "2025", "values": [1, None, -3]}, {"name": "2026", "values": [2.5, 4, 5]}]
    sections = [
        {"heading": "Über #markup", "text": "*plain* $text$ @here\n\nŻółć", "bullets": ["first", "second"]},
        {"figures": [{"name": "Umsatz", "value": 12.5, "remark": "Mio"}]},
        {"table": {"columns": ["Monat", "Wert"], "rows": [["Mai", 7], ["Juni", None]], "caption": "Monate"}},
        {"chart": {"labels": ["a", "b", "c"], "series": series}},
        {"chart": {"kind": "lines", "labels": ["a", "b", "c"], "series": series, "caption": "Verlauf"}},
        {"image": {"file": "logo.png", "caption": "Das Logo", "width_percent": 20}},
    ]

    render(job, template="document", data={"title": "Bericht", "sections": sections}, files={"logo.png": FILE})

    text = text_of(tmp_path)
    for said in (
        "Bericht",
        "Über #markup",
        "*plain* $text$ @here",
        "Żółć",
        "second",
        "12.5",
        "Juni",
        "2026",
        "Das Logo",
    ):
        assert said in text
    assert 1 == len(PdfReader(tmp_path / "report.pdf").pages[0].images)


def test_a_document_of_nothing_is_an_empty_page(tmp_path: Path) -> None:
    assert 1 == render(FakeJob(tmp_path), template="document").pages


def test_an_uploaded_template_reads_the_data_and_the_files(tmp_path: Path) -> None:
    template = '#set page(paper: sys.inputs.paper)\n#let d = json("/data.json")\nHello #d.name! #image("/files/a.png")'

    assert "Hello <Zoë>!" in rendered(tmp_path, template, {"a.png": png()}, data={"name": "<Zoë>"}, paper="a5")
    width, height = PdfReader(tmp_path / "report.pdf").pages[0].mediabox[2:]
    assert (148, 210) == (round(float(width) / 72 * 25.4), round(float(height) / 72 * 25.4))


def test_an_archive_may_hold_a_template_of_several_files(tmp_path: Path) -> None:
    packed = archive(
        ("main.typ", '#import "parts/base.typ": greet\n#greet("all")'), ("parts/base.typ", "#let greet(n) = [hi #n]")
    )

    assert "hi all" in rendered(tmp_path, packed)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for _ in range(2):
        render(FakeJob(tmp_path), template="document", data={"title": "Same"})
        made.append((tmp_path / "report.pdf").read_bytes())

    assert made[0] == made[1]


@pytest.mark.parametrize("standard", ["1.7", "a-2b", "a-3b", "ua-1"])
def test_each_standard_can_be_asked_for(tmp_path: Path, standard: str) -> None:
    assert 1 == render(FakeJob(tmp_path), template="document", data={"title": "T"}, standard=standard).pages


def test_a_font_that_is_not_there_is_a_warning_and_one_that_was_sent_is_there(tmp_path: Path) -> None:
    job = FakeJob(tmp_path)
    job.upload(TEMPLATE, b'#set text(font: "Nonesuch")\nHello')

    assert ("unknown font family: nonesuch",) == render(job, template_file=TEMPLATE).warnings


def refusal(folder: Path, template: str | bytes, files: dict[str, bytes] | None = None, **wishes: Any) -> str:
    with pytest.raises(JobRejected) as refused:
        rendered(folder, template, files, **wishes)
    return str(refused.value)


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("Hello\n#foo(1)", "'unknown variable: foo'. (main.typ:2:1)"),
        ("#let x = ", "expected expression"),
        ('#panic("stop")', "stop"),
        ("#while true {}", "always true"),
        ("#let f(n) = f(n)\n#f(1)", "call depth"),
        ('#json("/data.json").nothing', "nothing"),
        (b"\xff\xfe\x00binary", "utf-8"),
    ],
)
def test_what_is_wrong_with_a_template_is_said_with_its_place(tmp_path: Path, template: str, told: str) -> None:
    found = refusal(tmp_path, template)

    assert told.lower() in found.lower()
    assert str(tmp_path) not in found
    assert "/tmp" not in found


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc/passwd", "../" * 30 + "etc/passwd", "/proc/self/environ"])
def test_no_file_of_the_machine_can_be_read(tmp_path: Path, path: str) -> None:
    assert "cannot be rendered" in refusal(tmp_path, f'#read("{path}")')


def test_packages_are_not_fetched(tmp_path: Path) -> None:
    assert "none can be had" in refusal(tmp_path, '#import "@preview/cetz:0.3.0": *')
    assert "none can be had" in refusal(tmp_path, '#let n = "@prev" + "iew/cetz:0.3.0"\n#import n: *')
    assert "http://127.0.0.1:0" == os.environ["HTTPS_PROXY"]


def link() -> zipfile.ZipInfo:
    made = zipfile.ZipInfo("secret.txt")
    made.external_attr = 0o120777 << 16
    return made


@pytest.mark.parametrize(
    ("packed", "told"),
    [
        (archive(("../main.typ", "x")), "leads out"),
        (archive(("/main.typ", "x")), "leads out"),
        (archive(("c:\\main.typ", "x")), "leads out"),
        (archive(("a\\..\\..\\b.typ", "x")), "leads out"),
        (archive(("main.typ", '#read("secret.txt")'), (link(), "/etc/passwd")), "is a link"),
        (archive(("main.typ", "x"), ("data.json", "{}")), "is taken"),
        (archive(("main.typ", "x"), ("files/a.png", "x")), "is taken"),
        (archive(("other.typ", "x")), "no file 'main.typ'"),
        (archive(*((f"{place}.typ", "") for place in range(project.MOST_FILES + 1))), "201 files"),
        (archive(("main.typ", "x"), ("zeros.bin", bytes(project.MOST_TEMPLATE_BYTES + 1))), "larger than 20 MB"),
        (archive(("main.typ", "x"), ("a.png", png(20_000, 20_000))), "more than 50,000,000 pixels"),
        (archive(("main.typ", "x"))[:-30] + archive(("main.typ", "y"))[-22:], "cannot be unpacked"),
    ],
)
def test_a_hostile_archive_is_refused_and_writes_nothing_outside(tmp_path: Path, packed: bytes, told: str) -> None:
    assert told in refusal(tmp_path, packed)


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (png(20_000, 20_000), "more than 50,000,000 pixels"),
        (png(8000, 7000), "more than 50,000,000 pixels"),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), "cannot be read"),
        (b"<html>", "cannot be read"),
    ],
)
def test_a_hostile_image_is_refused_before_it_is_decoded(tmp_path: Path, image: bytes, told: str) -> None:
    assert told in refusal(tmp_path, '#image("/files/a.png")', {"a.png": image})


@pytest.mark.parametrize(
    ("wishes", "told"),
    [
        ({}, "either"),
        ({"template": "document", "template_file": TEMPLATE}, "either"),
        ({"template": "../../etc"}, "Invalid enum"),
        ({"template": "document", "files": {"../x.png": FILE}}, "matching regex"),
        ({"template": "document", "files": {".hidden": FILE}}, "matching regex"),
        ({"template": "document", "language": "english"}, "matching regex"),
        ({"template": "document", "data": []}, "object"),
    ],
)
def test_contradicting_wishes_are_refused_at_submit(wishes: dict[str, Any], told: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=told):
        msgspec.json.decode(json.dumps({"data": {}, **wishes}), type=RenderReport)
