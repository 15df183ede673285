"""What is answered: the bodies, the headers, and what each problem means."""

from offload_api.openapi.components import Schema

JSON = "application/json"
OCTETS = "application/octet-stream"
ANY = "*/*"
EVENTS: Schema = {"description": "Server-sent events; the `data` of each is a JobView."}
BYTES: Schema = {"type": "string", "format": "binary"}

#: What a status outside of success means; some addresses have a word of their own for it.
PROBLEMS = {
    400: "The request is malformed.",
    401: "A valid key or token is needed, in `Authorization: Bearer ...`.",
    403: "The key or token does not allow it; `detail` names the scope that does.",
    404: "There is no such thing, or it is somebody else's.",
    408: "The body came in too slowly.",
    409: "The job has ended otherwise.",
    410: "The job was kept for as long as its result_ttl_seconds said, and is there no more.",
    413: "The body is larger than allowed.",
    415: "The body is of a kind that is not taken here.",
    416: "The range begins behind the end; Content-Range has the size.",
    422: "The request breaks a rule; `errors` has an entry for each bad field.",
    429: "Too many at once; Retry-After says when to try again.",
    503: "The store is not available; repeat the request, with its Idempotency-Key.",
}

JOB_HEADERS = ("ETag", "Retry-After", "Preference-Applied")
OUTPUT_HEADERS = ("Offload-Attempt", "Offload-Output-Start", "Offload-Output-End", "Retry-After", "Preference-Applied")
FILE_HEADERS = ("ETag", "Repr-Digest", "Content-Disposition", "Accept-Ranges")

#: Every header that is answered, and what it says.
HEADERS = {
    "ETag": "Names this version of what is answered; send it back in If-None-Match.",
    "Location": "The address of what was made.",
    "Link": 'The next page, as `rel="next"`; not there on the last.',
    "Retry-After": "After so many seconds it makes sense to ask again; there while more is to come.",
    "Preference-Applied": "The wait, in seconds, that was granted.",
    "Idempotency-Replayed": "`true` when an earlier request with this key made the job.",
    "Offload-Attempt": "The attempt that this is the output of; 0 while none has started.",
    "Offload-Output-Start": "How many bytes came before the first that is sent.",
    "Offload-Output-End": "What to send as `after` next.",
    "Content-Range": "The bytes that are sent, and the size of the whole.",
    "Accept-Ranges": "`bytes`",
    "Content-Disposition": "The name to save the file by.",
    "RateLimit": "How many requests the tenant may still send; there where their rate is limited.",
    "RateLimit-Policy": "How many requests a tenant may send, and in how many seconds.",
    "WWW-Authenticate": "`Bearer`, and what was wrong with the key or the token, or which scope is needed.",
    "Repr-Digest": "The SHA-256 of the whole file (RFC 9530).",
}


def answer(description: str, schema: Schema | None, *headers: str, media_type: str = JSON) -> Schema:
    """Return a response; without a schema it has no body."""
    response: Schema = {"description": description}
    if headers:
        response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
    if schema is not None:
        response["content"] = {media_type: {"schema": schema}}
    return response


def unchanged(*headers: str) -> Schema:
    """Return the answer to a client that is up to date."""
    return answer("It is as the client knows it.", None, *headers)


def whole_or_part(description: str, *headers: str) -> Schema:
    """Return the answer with a file's bytes, in the media type it was stored with."""
    response = answer(description, BYTES, *headers, media_type=OCTETS)
    response["content"][ANY] = {}  # nothing can be said of them
    return response


#: The answers with a file.
FILE = {
    200: whole_or_part("The whole file.", *FILE_HEADERS),
    206: whole_or_part("The range that was asked for.", *FILE_HEADERS, "Content-Range"),
    304: unchanged("ETag"),
}
