"""What OpenAPI says of files."""

from typing import Any

from offload_api.openapi.components import ref
from offload_api.openapi.operations import operation, readable
from offload_api.openapi.parameters import DISPOSITION, FILE_ID, FILE_NAME, IF_NONE_MATCH, IF_RANGE, RANGE
from offload_api.openapi.responses import BYTES, FILE, OCTETS, answer

PATHS: dict[str, dict[str, Any]] = {
    "/v1/files": {
        "post": operation(
            "uploadFile",
            "files",
            "Upload a file for jobs to read; the body is the file itself, in any media type but multipart/form-data.",
            {201: answer("The file, stored.", ref("FileView"), "Location", "ETag")},
            *(400, 408, 413, 415, 503),
            parameters=(DISPOSITION, FILE_NAME),
            body={OCTETS: {"schema": BYTES}},
            body_required=False,  # a file may be empty
        ),
    },
    "/v1/files/{file_id}": readable(
        operation(
            "getFile",
            "files",
            "Download an uploaded file.",
            FILE,
            *(404, 416, 503),
            parameters=(FILE_ID, RANGE, IF_RANGE, IF_NONE_MATCH),
        )
    ),
}
