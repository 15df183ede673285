"""The store's tables. Their guards against illegal changes are triggers, made by the migrations."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

from offload_shared.store.clock import UtcDateTime

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

#: One row a job: the truth about it.
job = Table(
    "job",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("task", String(100), nullable=False),
    Column("task_version", Integer, nullable=False),
    Column("queue", String(100), nullable=False),
    Column("payload", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("timeout_seconds", Double, nullable=False),
    Column("memory_limit_mb", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("idempotency_key", String(255)),
    Column("fingerprint", String(64)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("run_at", UtcDateTime, nullable=False),
    Column("deadline_at", UtcDateTime),
    Column("state", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),  # the fencing token: raised by claims alone
    Column("errors", Integer, nullable=False),  # attempts that ended in an error
    Column("losses", Integer, nullable=False),  # attempts that were lost or crashed
    Column("publish_after", UtcDateTime, nullable=False),  # when the relay hints at it (again)
    Column("dispatches", Integer, nullable=False),  # how often it was hinted at
    Column("cancel_requested", Boolean, nullable=False),
    Column("lease_owner", String(255)),
    Column("lease_until", UtcDateTime),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("progress", Text),
    Column("failure", String(32)),
    Column("detail", Text),
    Column("cpu_limit_seconds", Double),
    Column("tags", Text),  # a JSON list, to show; the table `tag` is what they are found by
    Column("result_ttl_seconds", Double),  # how long the job is kept once it has ended; None: until it is deleted
    Column("expires_at", UtcDateTime),  # when that is over; None also while the job has not ended
    Column("quota", String(64)),  # the tenant whose queued jobs it counts among; None where there is no limit of them
    Column("parent_id", String(32)),  # the job that this one is a retry of, which may be deleted by now
    Column("schedule_id", String(32)),  # the schedule that has added it, which may be deleted by now
    Column("callback_url", Text),  # who is told of its end
    Column("flow_id", String(32)),
    Column("step", String(64)),  # its name in the flow
    Column("waits_for", Integer),  # so many jobs of the flow that have not ended, or whose end is not heard of yet
    Column("checkpoint", Text),  # JSON: the file that has the state its attempts have saved last
    Column("if_failed", String(8)),  # what becomes of it when one of them has not succeeded
    CheckConstraint("state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name="state"),
    CheckConstraint("(state = 'running') = (lease_until IS NOT NULL)", name="leased_while_running"),
    CheckConstraint("(state IN ('queued', 'running')) = (finished_at IS NULL)", name="finished_when_final"),
    CheckConstraint("state <> 'failed' OR failure IS NOT NULL", name="failed_says_why"),
    CheckConstraint("priority BETWEEN 0 AND 9", name="priority"),
    CheckConstraint("attempt >= 0 AND errors >= 0 AND losses >= 0 AND errors + losses <= attempt", name="counts"),
)

_queued = text("state = 'queued'")
_running = text("state = 'running'")

Index(
    "uq_job_idempotency_key",
    job.c.tenant,
    job.c.idempotency_key,
    unique=True,
    postgresql_where=job.c.idempotency_key.is_not(None),
)
Index("ix_job_due", job.c.queue, job.c.priority.desc(), job.c.run_at, postgresql_where=_queued, sqlite_where=_queued)
Index("ix_job_publish_after", job.c.publish_after, postgresql_where=_queued, sqlite_where=_queued)
Index("ix_job_deadline_at", job.c.deadline_at, postgresql_where=_queued, sqlite_where=_queued)
Index("ix_job_lease_until", job.c.lease_until, postgresql_where=_running, sqlite_where=_running)
Index("ix_job_lease_owner", job.c.lease_owner, postgresql_where=_running, sqlite_where=_running)

Index("ix_job_tenant_id", job.c.tenant, job.c.id)
_rare = text("state IN ('failed', 'cancelled')")
Index("ix_job_rare_ends", job.c.tenant, job.c.state, job.c.id, postgresql_where=_rare, sqlite_where=_rare)
_expires = job.c.expires_at.is_not(None)
Index("ix_job_expires_at", job.c.expires_at, postgresql_where=_expires, sqlite_where=_expires)

# Where there is no limit it is empty, and costs nothing to keep.
_counted = text("state = 'queued' AND quota IS NOT NULL")
Index("ix_job_quota", job.c.quota, postgresql_where=_counted, sqlite_where=_counted)

_recurring = job.c.schedule_id.is_not(None)
Index(
    "ix_job_schedule_id",
    job.c.tenant,
    job.c.schedule_id,
    job.c.id,
    postgresql_where=_recurring,
    sqlite_where=_recurring,
)

_in_flow = job.c.flow_id.is_not(None)
Index("ix_job_flow_id", job.c.tenant, job.c.flow_id, job.c.id, postgresql_where=_in_flow, sqlite_where=_in_flow)

#: One row a job of a flow and another that it follows.
dependency = Table(
    "dependency",
    metadata,
    Column("job_id", String(32), ForeignKey(job.c.id, ondelete="CASCADE"), primary_key=True),
    Column(
        "after_id",
        String(32),
        ForeignKey(job.c.id, name="fk_dependency_job_after", ondelete="CASCADE"),
        primary_key=True,
    ),
)
Index("ix_dependency_after_id", dependency.c.after_id)

#: One row a job that others follow and that has ended, until they are told.
step_end = Table(
    "step_end",
    metadata,
    Column("job_id", String(32), ForeignKey(job.c.id, ondelete="CASCADE"), primary_key=True),
)

#: One row a tag of a job.
tag = Table(
    "tag",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("job_id", String(32), ForeignKey(job.c.id, ondelete="CASCADE"), primary_key=True),
)
Index("ix_tag_job_id", tag.c.job_id)

#: One row an ended attempt: how it ended, and the result of the one that succeeded.
attempt = Table(
    "attempt",
    metadata,
    Column("job_id", String(32), ForeignKey(job.c.id, ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("outcome", String(16), nullable=False),
    Column("failure", String(32)),
    Column("detail", Text),
    Column("result", LargeBinary),
    Column("worker", String(255), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime, nullable=False),
    Column("wall_seconds", Double, nullable=False),
    Column("cpu_seconds", Double),
    Column("peak_memory_mb", Double),
    CheckConstraint("outcome IN ('succeeded', 'failed', 'cancelled', 'released')", name="outcome"),
    CheckConstraint("(outcome = 'succeeded') = (result IS NOT NULL)", name="result_of_success"),
    CheckConstraint("(outcome = 'failed') = (failure IS NOT NULL)", name="failed_says_why"),
)

#: What an attempt has printed and logged, in parts that follow on one another; the oldest are dropped past a limit.
output = Table(
    "output",
    metadata,
    Column("job_id", String(32), ForeignKey(job.c.id, ondelete="CASCADE"), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("start", BigInteger, primary_key=True),  # bytes before this part
    Column("content", LargeBinary, nullable=False),
)

#: One row an artifact of a succeeded job.
artifact = Table(
    "artifact",
    metadata,
    Column("job_id", String(32), ForeignKey(job.c.id, ondelete="CASCADE"), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("key", String(1024), nullable=False),
    Column("media_type", String(255), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
)

#: One row a job that has ended and had attempts without success, until what they may have left is removed.
leftover = Table(
    "leftover",
    metadata,
    Column("job_id", String(32), ForeignKey(job.c.id, ondelete="CASCADE"), primary_key=True),
    Column("kept", Integer),  # the attempt whose files stay; None where none has succeeded
    Column("noted_at", UtcDateTime, nullable=False),  # or when that has failed for the last time
)
Index("ix_leftover_noted_at", leftover.c.noted_at)

#: One row a job that is not there any more: its files go after it, and who asks for it may be told that it expired.
gone = Table(
    "gone",
    metadata,
    Column("job_id", String(32), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("gone_at", UtcDateTime, nullable=False),  # or when the removal of its files has failed for the last time
    Column("expired", Boolean, nullable=False),
    Column("collected", Boolean, nullable=False),  # none of its files is left
)
Index("ix_gone_gone_at", gone.c.collected, gone.c.gone_at)

#: One row an uploaded file.
file = Table(
    "file",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("name", Text, nullable=False),
    Column("key", String(1024), nullable=False),
    Column("media_type", String(255), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
)

#: One row a recurring schedule.
schedule = Table(
    "schedule",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("name", String(100)),
    Column("job", Text, nullable=False),  # JSON: the body of each job
    Column("cron", String(100), nullable=False),
    Column("timezone", String(64), nullable=False),
    Column("missed", String(16), nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("idempotency_key", String(255)),
    Column("fingerprint", String(64)),
    Column("version", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("next_run_at", UtcDateTime),  # None: never again
    Column("last_run_at", UtcDateTime),
    Column("last_job_id", String(32)),  # which may be deleted by now
    Column("error", Text),  # JSON: the problem that kept the last time from adding a job
    CheckConstraint("missed IN ('skip', 'run_once')", name="missed"),
)
Index("ix_schedule_due", schedule.c.paused, schedule.c.next_run_at)
Index("ix_schedule_tenant_id", schedule.c.tenant, schedule.c.id)
Index(
    "uq_schedule_idempotency_key",
    schedule.c.tenant,
    schedule.c.idempotency_key,
    unique=True,
    postgresql_where=schedule.c.idempotency_key.is_not(None),
)

#: One row a queue that was ever paused.
queue = Table(
    "queue",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("paused_at", UtcDateTime),  # None: its jobs are claimed
    Column("resumed_at", UtcDateTime),  # for the last time
    Column("hints_dropped", Boolean, nullable=False),  # resumed, and its jobs have to be hinted at again first
)

#: One row a worker process: what it says of itself, every few seconds. What it runs, the jobs' own rows say.
worker = Table(
    "worker",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", String(64), nullable=False),
    Column("slots", Text, nullable=False),  # a JSON object: how many of each queue
    Column("draining", Boolean, nullable=False),
    Column("paused", Text),  # why it takes no jobs for a while
    Column("unknown", Text),  # a JSON list: tasks and versions that it leaves to others
    Column("started_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("lost_at", UtcDateTime, nullable=False),  # unless it is seen again
)

#: One row an API key. Of its secret there is only a hash.
api_key = Table(
    "api_key",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("name", String(100), nullable=False),
    Column("scopes", String(255), nullable=False),  # joined by spaces
    Column("secret_sha256", String(64), nullable=False),
    Column("previous_sha256", String(64)),  # of the secret before the last rotation
    Column("previous_until", UtcDateTime),  # when that is good no longer
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
)

#: One row a tenant that has submitted under a limit of queued jobs.
quota = Table(
    "quota",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("room", Integer, nullable=False),  # for so many more jobs
    Column("most", Integer, nullable=False),  # the limit it was counted for
    Column("counted_at", UtcDateTime, nullable=False),
)

#: One row a tenant that has sent requests under a limit of their rate.
rate = Table(
    "rate",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("full_at", UtcDateTime, nullable=False),  # when its whole quota is there again
)

#: One row a request that was to change something: who asked for what, and what came of it.
audit = Table(
    "audit",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("key_id", String(32)),
    Column("address", String(64), nullable=False),
    Column("method", String(16), nullable=False),
    Column("route", String(255), nullable=False),
    Column("target", String(100)),
    Column("status", Integer, nullable=False),
    Column("subject", String(255)),  # of a token, where it was no key
)
Index("ix_audit_tenant_id", audit.c.tenant, audit.c.id)
Index("ix_audit_key_id_id", audit.c.key_id, audit.c.id)
Index("ix_audit_target", audit.c.target)
Index(
    "ix_audit_subject_id",
    audit.c.subject,
    audit.c.id,
    postgresql_where=audit.c.subject.is_not(None),
    sqlite_where=audit.c.subject.is_not(None),
)

#: One row a server that is told of the ends of a tenant's jobs.
webhook = Table(
    "webhook",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("url", Text, nullable=False),
    Column("name", String(100)),
    Column("events", String(255), nullable=False),  # joined by spaces
    Column("secret", String(100), nullable=False),  # as it is: what is sent has to be signed with it
    Column("previous_secret", String(100)),  # before the last rotation
    Column("previous_until", UtcDateTime),  # when nothing is signed with that any longer
    Column("version", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("disabled_at", UtcDateTime),
)
Index("ix_webhook_tenant_id", webhook.c.tenant, webhook.c.id)

#: One row a tenant that has had callbacks: what they are signed with.
callback_secret = Table(
    "callback_secret",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("secret", String(100), nullable=False),
    Column("previous_secret", String(100)),
    Column("previous_until", UtcDateTime),
)

#: One row an event for one server: the outbox, the retry backoff, the lease of whoever sends it, and the log.
delivery = Table(
    "delivery",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("webhook_id", String(32)),  # which may be removed by now; None: to the job's callback_url
    Column("url", Text),  # of a callback
    Column("target", String(64), nullable=False),  # what takes turns: a webhook, or a tenant's callbacks to one server
    Column("job_id", String(32), nullable=False),  # which may be deleted by now
    Column("event", String(32), nullable=False),
    Column("payload", Text),  # JSON, once it was made, which is before the job may go
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),  # the fencing token: raised by whoever takes it
    Column("failures", Integer, nullable=False),  # attempts since it was added, or replayed, but for one that succeeds
    Column("created_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("tries", Text, nullable=False),  # a JSON list of the latest
    CheckConstraint("state IN ('pending', 'delivered', 'failed')", name="state"),
    CheckConstraint("(state = 'pending') = (finished_at IS NULL)", name="finished_when_final"),
    CheckConstraint("(webhook_id IS NULL) = (url IS NOT NULL)", name="leads_somewhere"),
)

# Where nobody is told of anything these two are empty, and one look at them is all that it costs.
_pending = text("state = 'pending'")
Index("ix_delivery_due_at", delivery.c.due_at, postgresql_where=_pending, sqlite_where=_pending)
Index(
    "ix_delivery_target_due_at", delivery.c.target, delivery.c.due_at, postgresql_where=_pending, sqlite_where=_pending
)
_unmade = text("state = 'pending' AND payload IS NULL")
Index("ix_delivery_unmade", delivery.c.job_id, postgresql_where=_unmade, sqlite_where=_unmade)
Index("ix_delivery_webhook_id_id", delivery.c.tenant, delivery.c.webhook_id, delivery.c.id)
_undelivered = text("state = 'pending' OR state = 'failed'")
Index(
    "ix_delivery_undelivered",
    delivery.c.tenant,
    delivery.c.webhook_id,
    delivery.c.state,
    delivery.c.id,
    postgresql_where=_undelivered,
    sqlite_where=_undelivered,
)
Index("ix_delivery_job_id", delivery.c.job_id)
