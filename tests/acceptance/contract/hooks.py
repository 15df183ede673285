"""What Schemathesis cannot read from the document: when a request that fits its schema may be refused all the same.

Each rule here depends on what is stored, or on how values relate, which JSON Schema has no words for. A refusal of any
other kind is a failure.
"""

import itertools
import json
from collections.abc import Callable
from typing import Any

import schemathesis
from schemathesis import Case, HookContext
from schemathesis.core.failures import Failure
from schemathesis.core.transport import Response
from schemathesis.openapi.checks import RejectedPositiveData

#: Times may lie out of the years that every database can hold, or one before the other; and a task's rule between the
#: fields of its payload points at the payload.
#: And whether a server may be called where a URL leads, no schema says.
RELATED_FIELDS = ("/run_at", "/deadline", "/payload", "/callback_url")


def _key_of_another_body(case: Case[Any], response: Response, problem: dict[str, Any]) -> bool:
    # Where a key is sent again on purpose. HEAD does not submit, so there is always a body that says so.
    return problem.get("type") == "/problems/idempotency-key-reused"


def _token_of_no_list(case: Case[Any], response: Response, problem: dict[str, Any]) -> bool:
    # A page token is what the service itself made.
    return response.status_code == 400 and "page_token" in (case.query or {})


def _times_that_never_come(case: Case[Any], response: Response, problem: dict[str, Any]) -> bool:
    # What a cron expression and a time zone can be is said in words.
    errors = problem.get("errors", [])
    return bool(errors) and all(error["pointer"] in ("/cron", "/timezone") for error in errors)


def _url_that_leads_nowhere(case: Case[Any], response: Response, problem: dict[str, Any]) -> bool:
    # Into the operator's own network, to no port that there is.
    errors = problem.get("errors", [])
    return bool(errors) and all(error["pointer"] == "/url" for error in errors)


def _of_no_sound_whole(case: Case[Any], response: Response, problem: dict[str, Any]) -> bool:
    # A merge patch is held to nothing but what it makes of the schedule, of which it may be any part.
    return problem.get("type") == "/problems/invalid"


def _behind_the_end(case: Case[Any], response: Response, problem: dict[str, Any]) -> bool:
    # Whether a range can be had depends on the file.
    return response.status_code == 416 and "Range" in (case.headers or {})


def _fields_that_do_not_go_together(case: Case[Any], response: Response, problem: dict[str, Any]) -> bool:
    errors = problem.get("errors", [])
    return bool(errors) and all(_is_of_more_than_one(error["pointer"], error["detail"]) for error in errors)


def _is_of_more_than_one(pointer: str, detail: str) -> bool:
    return pointer.endswith(RELATED_FIELDS) or (pointer.endswith("/delay_seconds") and detail == "excludes `run_at`")


def _outside_of_the_calendar(case: Case[Any], response: Response, problem: dict[str, Any]) -> bool:
    return response.status_code == 400 and "created_after" in (case.query or {})


def _gone_meanwhile(case: Case[Any], response: Response, problem: dict[str, Any]) -> bool:
    # A job that was given a short life with `result_ttl_seconds`.
    return response.status_code == 410 and "job_id" in (case.path_parameters or {})


OF_EVERY_OPERATION = (_gone_meanwhile,)

MAY_REFUSE: dict[str, tuple[Callable[[Case[Any], Response, dict[str, Any]], bool], ...]] = {
    "submitJob": (_key_of_another_body, _fields_that_do_not_go_together),
    "submitBatch": (_key_of_another_body, _fields_that_do_not_go_together),
    "retryJob": (_key_of_another_body,),
    "addSchedule": (_key_of_another_body, _fields_that_do_not_go_together, _times_that_never_come),
    "changeSchedule": (_of_no_sound_whole,),
    **dict.fromkeys(("createWebhook", "changeWebhook"), (_url_that_leads_nowhere,)),
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

_numbers = itertools.count()


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Give each sound key an end of its own: short ones are drawn again and again, and would make no further job."""
    key = case.headers.get("Idempotency-Key") if case.headers else None
    if key and case.meta is not None and case.meta.generation.mode.is_positive:
        case.headers["Idempotency-Key"] = f"{key[:200]}-{next(_numbers)}"


@schemathesis.hook
def filter_failure(context: HookContext, failure: Failure, case: Case[Any], response: Response) -> bool:
    """Keep every failure but the refusals that are right."""
    if not isinstance(failure, RejectedPositiveData):
        return True
    try:
        problem = json.loads(response.content)
    except ValueError:
        problem = {}
    operation = case.operation.definition.raw.get("operationId", "")
    return not any(rule(case, response, problem) for rule in (*OF_EVERY_OPERATION, *MAY_REFUSE.get(operation, ())))
