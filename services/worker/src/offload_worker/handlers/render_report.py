"""Renders a PDF by Typst: lays out a folder of its own, and compiles what is in it."""

import io
import tempfile
import time
from pathlib import Path

from pypdf import PdfReader

from offload_shared.tasks.render_report import RenderReport, RenderReportResult
from offload_worker.handle import JobHandle
from offload_worker.handlers.reporting.compiling import compile_pdf
from offload_worker.handlers.reporting.project import inputs, lay_out

ARTIFACT = "report.pdf"


def render_report(payload: RenderReport, job: JobHandle) -> RenderReportResult:
    """Render a template; raises `JobRejected` when the template or a file does not allow it."""
    began = time.monotonic()
    job.progress(5, "Laying out")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "root")
        main = lay_out(payload, job, root)
        job.progress(20, "Rendering")
        made, warnings = compile_pdf(main, root, inputs(payload), payload.standard)
    job.progress(95, "Counting the pages")
    pages = len(PdfReader(io.BytesIO(made)).pages)
    job.artifact(ARTIFACT, "application/pdf").write_bytes(made)
    return RenderReportResult(
        artifact=ARTIFACT,
        pages=pages,
        size=len(made),
        warnings=warnings,
        duration_seconds=round(time.monotonic() - began, 3),
    )
