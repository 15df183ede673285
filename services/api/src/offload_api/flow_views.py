"""Flows as clients see them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from offload_api.views import JobSummary, flow_path, job_summary
from offload_shared.job import IfFailed, JobState
from offload_shared.store.flows import FlowJob

FlowState = Literal["running", "succeeded", "failed", "cancelled"]


class FlowJobView(JobSummary, frozen=True, kw_only=True):
    """A job of a flow."""

    after: Annotated[list[str], Meta(description="Names of the jobs that it follows.")]
    if_failed: IfFailed


class FlowLinks(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where to go from here; a link that leads nowhere now is left out."""

    self: str
    jobs: str
    cancel: str | None = None


class FlowView(msgspec.Struct, frozen=True, kw_only=True):
    """A flow: its jobs by their names, each after those it follows."""

    id: str
    state: Annotated[
        FlowState, Meta(description="`running` until every job has ended; `failed` when one of them has failed.")
    ]
    created_at: datetime
    finished_at: datetime | None
    jobs: dict[str, FlowJobView]
    links: FlowLinks


def flow_view(jobs: Sequence[FlowJob]) -> FlowView:
    """Return what a client is shown of the flow of these jobs, of which there is at least one."""
    flow_id, state = jobs[0].job.flow_id or "", flow_state(jobs)
    here = flow_path(flow_id)
    ends = [each.job.finished_at for each in jobs if each.job.finished_at]
    return FlowView(
        id=flow_id,
        state=state,
        created_at=min(each.job.created_at for each in jobs),
        finished_at=None if state == "running" else max(ends),
        jobs={each.job.step or "": _job(each) for each in jobs},
        links=FlowLinks(
            self=here, jobs=f"/v1/jobs?flow_id={flow_id}", cancel=f"{here}/cancel" if state == "running" else None
        ),
    )


def flow_state(jobs: Sequence[FlowJob]) -> FlowState:
    """Return how a flow stands, by its jobs."""
    states = {each.job.state for each in jobs}
    if not all(state.final for state in states):
        return "running"
    if JobState.FAILED in states:
        return "failed"
    return "cancelled" if JobState.CANCELLED in states else "succeeded"


def _job(each: FlowJob) -> FlowJobView:
    summary = job_summary(each.job)
    fields = {name: getattr(summary, name) for name in JobSummary.__struct_fields__}
    return FlowJobView(**fields, after=each.after, if_failed=each.if_failed)
