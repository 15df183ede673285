"""Files: inputs that are uploaded, and artifacts that jobs leave behind."""

import asyncio
import re
from contextlib import suppress
from http import HTTPStatus

import msgspec
from litestar import Response, Router, post, route
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Stream

from offload_api.access import needs
from offload_api.bodies import AnyRequest, chunks
from offload_api.downloads import download
from offload_api.filenames import cleaned, from_disposition
from offload_api.problems import not_found, unsupported_media_type
from offload_api.reading import find_job, require_id
from offload_api.services import Services
from offload_shared.errors import ArtifactsUnavailable, CommitUnknown, StoreUnavailable
from offload_shared.ids import new_id
from offload_shared.job import StoredFile
from offload_shared.keys import Scope
from offload_shared.store import files as stored_files

JSON = "application/json"
ANY_TYPE = "application/octet-stream"

_MEDIA_TYPE = re.compile(r"[\w.+!#$&^-]{1,127}/[\w.+!#$&^-]{1,127}(?:\s*;[\x20-\x7e]*)?", re.ASCII)
#: What curl calls any --data-binary.
_FORM = "application/x-www-form-urlencoded"


class FileView(msgspec.Struct, frozen=True, kw_only=True):
    """An uploaded file; its id is what a job's payload names it by."""

    id: str
    name: str
    media_type: str
    size: int
    sha256: str
    href: str


@post("/v1/files", status_code=HTTPStatus.CREATED, opt=needs(Scope.SUBMIT))
async def upload(request: AnyRequest, services: NamedDependency[Services]) -> Response[bytes]:
    """Stream the body into the artifact storage; it is named in the store, and so there, only when it is whole."""
    media_type = _media_type(request)
    file_id = new_id()
    key = f"files/{file_id}"
    body = chunks(request, limit_bytes=services.settings.max_upload_bytes)
    size, sha256 = await services.artifacts.receive(key, body)
    stored = StoredFile(key=key, name=_name(request) or file_id, media_type=media_type, size=size, sha256=sha256)
    await _record(services, file_id, stored, request.auth.tenant)
    view = FileView(
        id=file_id,
        name=stored.name,
        media_type=media_type,
        size=size,
        sha256=sha256,
        href=f"/v1/files/{file_id}",
    )
    headers = {"Location": view.href, "ETag": f'"{sha256}"'}
    return Response(msgspec.json.encode(view), status_code=HTTPStatus.CREATED, media_type=JSON, headers=headers)


async def _record(services: Services, file_id: str, stored: StoredFile, tenant: str) -> None:
    try:
        await services.store.run(stored_files.add_file, file_id, stored, tenant=tenant)
    except CommitUnknown:  # the row may be there: the bytes stay
        raise
    except StoreUnavailable:
        with suppress(ArtifactsUnavailable):
            await asyncio.to_thread(services.artifacts.delete, stored.key)
        raise


def _media_type(request: AnyRequest) -> str:
    given = request.headers.get("content-type", ANY_TYPE).strip()
    essence = given.partition(";")[0].strip().lower()
    if essence == "multipart/form-data":
        raise unsupported_media_type(
            "Send the file itself as the body, not a form: curl --data-binary @file -H 'Content-Type: text/csv' ..."
        )
    if len(given) > 255 or not _MEDIA_TYPE.fullmatch(given):
        raise unsupported_media_type("The Content-Type is not a media type.")
    return ANY_TYPE if essence == _FORM else given


def _name(request: AnyRequest) -> str:
    given = from_disposition(request.headers.get("content-disposition", ""))
    return cleaned(given or request.query_params.get("name", ""))


@route("/v1/files/{file_id:str}", http_method=["GET", "HEAD"], opt=needs(Scope.READ))
async def show(
    request: AnyRequest, services: NamedDependency[Services], file_id: FromPath[str]
) -> Response[None] | Stream:
    """Answer with an uploaded file."""
    stored = await services.store.run(stored_files.get_file, require_id(file_id, "file"), tenant=request.auth.tenant)
    if stored is None:
        raise not_found("file")
    return await download(request, services.artifacts, stored)


@route("/v1/jobs/{job_id:str}/artifacts/{name:str}", http_method=["GET", "HEAD"], opt=needs(Scope.READ))
async def artifact(
    request: AnyRequest, services: NamedDependency[Services], job_id: FromPath[str], name: FromPath[str]
) -> Response[None] | Stream:
    """Answer with a file that a job left behind."""
    require_id(job_id, "job")
    stored = None
    if name == cleaned(name):
        stored = await services.store.run(stored_files.get_artifact, job_id, name, tenant=request.auth.tenant)
    if stored is None:
        await find_job(services, request.auth, job_id)  # which may have an answer of its own
        raise not_found("artifact")
    return await download(request, services.artifacts, stored)


router = Router("/", route_handlers=[upload, show, artifact])
