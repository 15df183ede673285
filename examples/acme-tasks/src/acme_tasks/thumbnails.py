"""Makes thumbnails, in a child process of a worker."""

from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from acme_tasks.messages import Thumbnail, Thumbnails, ThumbnailsResult
from offload_worker.handle import JobHandle, JobRejected

#: A small file can unpack to a picture that fills any memory.
MOST_PIXELS = 100_000_000
FORMATS = ("JPEG", "PNG", "WEBP")


def thumbnails(payload: Thumbnails, job: JobHandle) -> ThumbnailsResult:
    """Make a picture of each size, never larger than the original; raises `JobRejected` for what is no picture."""
    picture = _opened(job.file(payload.file_id))
    made = []
    for place, size in enumerate(payload.sizes):
        name = f"{size}.jpg"
        small = ImageOps.contain(picture, (min(size, picture.width), min(size, picture.height)))
        small.save(job.artifact(name, "image/jpeg"), "JPEG", quality=85)
        made.append(Thumbnail(name, *small.size))
        job.progress(100 * (place + 1) / len(payload.sizes), name)
    return ThumbnailsResult(pictures=tuple(made))


def _opened(path: Path) -> Image.Image:
    try:
        picture = Image.open(path, formats=FORMATS)  # reads no more than its head
        if picture.width * picture.height > MOST_PIXELS:
            raise JobRejected(f"the picture has {picture.width} x {picture.height} pixels, of at most {MOST_PIXELS:,}")
        return ImageOps.exif_transpose(picture).convert("RGB")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise JobRejected(f"the file is no whole picture of {', '.join(FORMATS)}: {error}") from None
