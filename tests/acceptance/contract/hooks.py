"""What Schemathesis cannot read from the document: when a request that fits its schema may be refused all the same.

Each rule here depends on what is stored, or on how values relate, which JSON Schema has no words for. A refusal of any
other kind is a failure.
"""

import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import schemathesis
from schemathesis import Case, HookContext
from schemathesis.core.failures import Failure
from schemathesis.core.transport import Response
from schemathesis.openapi.checks import EnsureResourceAvailability, RejectedPositiveData


def _key_of_another_body(case: Case[Any], response: Response, problem: dict[str, Any]) -> bool:
    # Where a key is sent again on purpose. HEAD does not submit, so there is always a body that says so.
    return problem.get("type") == "/problems/idempotency-key-reused"


def _token_of_no_list(case: Case[Any], response: Response, problem: dict[str, Any]) -> bool:
    # A page token is what the service itself made.
    return response.status_code == 400 and "page_token" in (case.query or {})


def _behind_the_end(case: Case[Any], response: Response, problem: dict[str, Any]) -> bool:
    # Whether a range can be had depends on the file.
    return response.status_code == 416 and "Range" in (case.headers or {})


def _outside_of_the_calendar(case: Case[Any], response: Response, problem: dict[str, Any]) -> bool:
    return response.status_code == 400 and "created_after" in (case.query or {})


def _gone_meanwhile(case: Case[Any], response: Response, problem: dict[str, Any]) -> bool:
    # A job that was given a short life with `result_ttl_seconds`.
    return response.status_code == 410 and "job_id" in (case.path_parameters or {})


def _related(pointer: str, detail: str) -> bool:
    # Times may lie out of the years that every database can hold, or one before the other; and a task's rule between
    # the fields of its payload points at the payload. And whether a server may be called where a URL leads, no schema
    # says.
    ends = ("/run_at", "/deadline", "/payload", "/callback_url")
    return pointer.endswith(ends) or (pointer.endswith("/delay_seconds") and detail == "excludes `run_at`")


def _text_at_any_depth(pointer: str, detail: str) -> bool:
    # Where a task takes any JSON, no schema says that nothing in it holds a control character.
    free = ("/payload/data", "/payload/template_data", "/payload/rows", "/payload/files")
    return detail == "contains a control character" and any(each in pointer for each in free)


def _times_that_never_come(pointer: str, detail: str) -> bool:
    # What a cron expression and a time zone can be is said in words.
    return pointer in ("/cron", "/timezone")


def _part_of_no_sound_job(pointer: str, detail: str) -> bool:
    # A merge patch may have any part of a job: what it makes of the whole is held to the job's schema.
    return pointer == "/job" or pointer.startswith("/job/")


def _jobs_that_do_not_fit_together(pointer: str, detail: str) -> bool:
    # Which jobs follow which; and a payload is held to its task's own schema, which it may leave for a result.
    return (
        (pointer == "/jobs" and detail.startswith("each of these waits"))
        or "/after/" in pointer
        or (pointer.startswith("/jobs/") and "/payload" in pointer)
    )


def _url_that_leads_nowhere(pointer: str, detail: str) -> bool:
    # Into the operator's own network, to no port that there is.
    return pointer == "/url"


OF_EVERY_OPERATION = (_gone_meanwhile,)

MAY_REFUSE: dict[str, tuple[Callable[[Case[Any], Response, dict[str, Any]], bool], ...]] = {
    **dict.fromkeys(("submitJob", "submitBatch", "submitFlow", "retryJob", "addSchedule"), (_key_of_another_body,)),
    **dict.fromkeys(("listWebhooks", "headListWebhooks", "listDeliveries", "headListDeliveries"), (_token_of_no_list,)),
    **dict.fromkeys(("listSchedules", "headListSchedules"), (_token_of_no_list,)),
    **dict.fromkeys(("listKeys", "headListKeys", "listAudit", "headListAudit"), (_token_of_no_list,)),
    "listJobs": (_token_of_no_list, _outside_of_the_calendar),
    "headListJobs": (_token_of_no_list, _outside_of_the_calendar),
    "getFile": (_behind_the_end,),
    "headGetFile": (_behind_the_end,),
    "getArtifact": (_behind_the_end,),
    "headGetArtifact": (_behind_the_end,),
}

#: What each error of a refusal may be about; one refusal may name several.
MAY_BE_WRONG: dict[str, tuple[Callable[[str, str], bool], ...]] = {
    **dict.fromkeys(("submitJob", "submitBatch"), (_related, _text_at_any_depth)),
    "submitFlow": (_related, _jobs_that_do_not_fit_together),
    "addSchedule": (_related, _text_at_any_depth, _times_that_never_come),
    "changeSchedule": (_part_of_no_sound_job, _times_that_never_come),
    **dict.fromkeys(("createWebhook", "changeWebhook"), (_url_that_leads_nowhere,)),
}

_numbers = itertools.count()

#: When each key that was made expires, by its id.
_key_expires: dict[str, str] = {}


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Give each sound key an end of its own: short ones are drawn again and again, and would make no further job."""
    key = case.headers.get("Idempotency-Key") if case.headers else None
    if key and case.meta is not None and case.meta.generation.mode.is_positive:
        case.headers["Idempotency-Key"] = f"{key[:200]}-{next(_numbers)}"


@schemathesis.hook
def after_call(context: HookContext, case: Case[Any], response: Response) -> None:
    """Note until when each key is good."""
    if _operation(case) == "createKey" and response.status_code == 201:
        key = json.loads(response.content)
        if key.get("expires_at"):
            _key_expires[key["id"]] = key["expires_at"]


def _operation(case: Case[Any]) -> str:
    return str(case.operation.definition.raw.get("operationId", ""))


def _has_expired(case: Case[Any]) -> bool:
    # A key may be made to expire at once, and then has no other secret.
    ends = _key_expires.get((case.path_parameters or {}).get("key_id", ""))
    return ends is not None and datetime.fromisoformat(ends) <= datetime.now(UTC)


@schemathesis.hook
def filter_failure(context: HookContext, failure: Failure, case: Case[Any], response: Response) -> bool:
    """Keep every failure but the refusals that are right."""
    operation = _operation(case)
    if isinstance(failure, EnsureResourceAvailability):
        return operation != "rotateKey" or not _has_expired(case)
    if not isinstance(failure, RejectedPositiveData):
        return True
    try:
        problem = json.loads(response.content)
    except ValueError:
        problem = {}
    if any(rule(case, response, problem) for rule in (*OF_EVERY_OPERATION, *MAY_REFUSE.get(operation, ()))):
        return False
    errors, rules = problem.get("errors", []), MAY_BE_WRONG.get(operation, ())
    return not errors or not all(any(rule(each["pointer"], each["detail"]) for rule in rules) for each in errors)
