"""The folder that a template sees: its own files, the data, and what the client names, and nothing besides.

Typst follows symbolic links, also to where its root does not reach; so only plain files are ever written here.
"""

import shutil
import stat
import warnings
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
from PIL import Image, UnidentifiedImageError

from offload_shared.tasks.render_report import RenderReport
from offload_worker.handle import JobHandle, JobRejected
from offload_worker.handlers.inputs import fetched
from offload_worker.handlers.tables.wording import quoted

TEMPLATES = Path(__file__).parent / "templates"
MAIN = "main.typ"

MB = 1024 * 1024
MOST_FILES = 200
MOST_TEMPLATE_BYTES = 20 * MB
MOST_FILE_BYTES = 50 * MB
#: Of one image: decoded, each takes four bytes.
MOST_PIXELS = 50_000_000

IMAGES = frozenset({".png", ".jpg", ".jpeg", ".gif", ".webp"})


def lay_out(payload: RenderReport, job: JobHandle, root: Path) -> Path:
    """Write all that is to be rendered into a new folder `root`, and return the main file; raises `JobRejected`."""
    (root / "files").mkdir(parents=True)
    main = _template(payload, job, root)
    (root / "data.json").write_bytes(msgspec.json.encode(payload.data))
    for name, source in payload.files.items():
        path = fetched(job, source)
        if path.stat().st_size > MOST_FILE_BYTES:
            raise JobRejected(f"The file {quoted(name)} is larger than {MOST_FILE_BYTES // MB} MB, the most taken.")
        shutil.copyfile(path, root / "files" / name)
    for path in root.rglob("*"):
        if path.suffix.lower() in IMAGES:
            _check_image(path, path.relative_to(root).as_posix())
    return main


def _template(payload: RenderReport, job: JobHandle, root: Path) -> Path:
    if payload.template is not None:
        for name in ("base.typ", f"{payload.template}.typ"):
            shutil.copyfile(TEMPLATES / name, root / name)
        return root / f"{payload.template}.typ"
    path = fetched(job, payload.template_file or "")
    if zipfile.is_zipfile(path):
        _unpack(path, root)
        if not (root / MAIN).is_file():
            raise JobRejected(f"The archive has no file {MAIN!r} at its top.")
    else:
        if path.stat().st_size > MOST_TEMPLATE_BYTES:
            raise JobRejected(f"The template is larger than {MOST_TEMPLATE_BYTES // MB} MB, the most taken.")
        shutil.copyfile(path, root / MAIN)
    return root / MAIN


def _unpack(path: Path, root: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [each for each in archive.infolist() if not each.is_dir()]
            if len(members) > MOST_FILES:
                raise JobRejected(f"The archive has {len(members):,} files; at most {MOST_FILES} are taken.")
            left = MOST_TEMPLATE_BYTES
            for member in members:
                target = root / _inside(member)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source:
                    content = source.read(left + 1)  # what it says of its size may be a lie
                left -= len(content)
                if left < 0:
                    raise JobRejected(f"Unpacked, the archive is larger than {MOST_TEMPLATE_BYTES // MB} MB.")
                target.write_bytes(content)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError) as error:
        raise JobRejected(f"The archive cannot be unpacked: {quoted(str(error))}.") from None


def _inside(member: zipfile.ZipInfo) -> PurePosixPath:
    name = PurePosixPath(member.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or ":" in member.filename:
        raise JobRejected(f"The archive's file {quoted(member.filename)} leads out of its folder.")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise JobRejected(f"The archive's file {quoted(member.filename)} is a link.")
    if name.parts[:1] in ((), ("files",), ("data.json",)):
        raise JobRejected(f"The archive's file {quoted(member.filename)} has a name that is taken: rename it.")
    return name


def _check_image(path: Path, name: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own, larger limit
            with Image.open(path) as image:
                too_large = image.width * image.height > MOST_PIXELS
    except Image.DecompressionBombError:
        too_large = True
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise JobRejected(f"The image {quoted(name)} cannot be read: {quoted(str(error))}.") from None
    if too_large:
        raise JobRejected(f"The image {quoted(name)} has more than {MOST_PIXELS:,} pixels, the most taken.")


def inputs(payload: RenderReport) -> dict[str, str]:
    """Return what a template reads as `sys.inputs`."""
    plots = [name for name in payload.files if Path(name).stem == "plot"]
    given: dict[str, Any] = {"plot": f"/files/{plots[0]}"} if plots else {}
    return given | {
        "paper": payload.paper,
        "language": payload.language,
        "title": payload.title or "",
        "footer": payload.footer,
    }
