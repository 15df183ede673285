"""`render-report`: a PDF from a template and JSON data, by Typst."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from offload_shared.tasks.task import FileSource, Payload, Result, RunsIn, Task

Line = Annotated[str, Meta(max_length=200)]
FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.[A-Za-z0-9]{1,8}$")]

Template = Literal["document", "training-report"]
Paper = Literal["a3", "a4", "a5", "us-letter", "us-legal"]
#: Kinds of PDF for keeping (a-...) and for everybody to read (ua-1).
Standard = Literal["1.7", "a-2b", "a-3b", "ua-1"]


class RenderReport(Payload, frozen=True, kw_only=True):
    """What to render. Either `template` or `template_file`."""

    template: Annotated[Template | None, Meta(description="One of ours.")] = None
    template_file: Annotated[
        FileSource | None, Meta(description="A Typst file, or a zip archive of files with `main.typ` among them.")
    ] = None
    data: Annotated[dict[str, Any], Meta(description="What the template reads as json('/data.json').")]
    files: Annotated[
        dict[FileName, FileSource], Meta(max_length=50, description="Images and fonts, in the folder `/files`.")
    ] = msgspec.field(default_factory=dict)
    title: Line | None = None
    footer: Annotated[Line, Meta(description="At the foot of each page, beside its number.")] = ""
    language: Annotated[str, Meta(pattern="^[a-z]{2,3}$", description="Of the text, for hyphenation.")] = "en"
    paper: Paper = "a4"
    standard: Annotated[Standard, Meta(description="Of PDF.")] = "1.7"

    def __post_init__(self) -> None:
        """Refuse wishes that contradict each other."""
        if (self.template is None) == (self.template_file is None):
            raise ValueError("give either `template` or `template_file`")


class RenderReportResult(Result, frozen=True, kw_only=True):
    """What was rendered, to the artifact `report.pdf`."""

    artifact: str
    pages: int
    size: int  # in bytes
    warnings: tuple[str, ...]  # the template's, such as of a font that is not there
    duration_seconds: float


RENDER_REPORT = Task(
    name="render-report",
    summary="Renders a PDF by Typst from a template, ours or uploaded, and JSON data with tables, charts and images.",
    payload=RenderReport,
    result=RenderReportResult,
    queue="cpu",
    runs_in=RunsIn.PROCESS,
    timeout_seconds=300,
    memory_limit_mb=1024,
    max_attempts=3,
)
