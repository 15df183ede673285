"""The guards: the store itself refuses a second end, a stale result and an attempt out of turn.

Verbs guard every write; these triggers hold against a verb with a mistake in it, and against a hand in the database.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

#: What is refused about a change of a job, and the sentence that says so. `OLD` and `NEW` are the row before and after.
JOB_RULES = {
    "OLD.state IN ('succeeded', 'failed', 'cancelled')": "a job that has ended does not change",
    "NEW.attempt <> OLD.attempt AND NOT (OLD.state = 'queued' AND NEW.state = 'running'"
    " AND NEW.attempt = OLD.attempt + 1)": "only a claim raises the attempt, by one",
    "OLD.state = 'queued' AND NEW.state = 'running' AND NEW.attempt = OLD.attempt": "a claim raises the attempt",
    "OLD.state = 'queued' AND NEW.state = 'succeeded'": "a job that does not run cannot succeed",
    "OLD.state = 'running' AND NEW.state <> 'running' AND NOT EXISTS (SELECT 1 FROM attempt"
    " WHERE job_id = OLD.id AND number = OLD.attempt AND (outcome = 'succeeded') = (NEW.state = 'succeeded'))": (
        "an attempt ends with the outcome that its job takes on"
    ),
}

#: Likewise about a new row of an ended attempt.
ATTEMPT_RULES = {
    "NOT EXISTS (SELECT 1 FROM job WHERE id = NEW.job_id AND state = 'running' AND attempt = NEW.number)": (
        "only the running attempt of a job can end"
    ),
}

#: And about a change of such a row: there is none.
HISTORY_RULES = {"1 = 1": "how an attempt ended does not change"}

TRIGGERS = (
    ("job_guard", "UPDATE", "job", JOB_RULES),
    ("attempt_guard", "INSERT", "attempt", ATTEMPT_RULES),
    ("attempt_history_guard", "UPDATE", "attempt", HISTORY_RULES),
)


def upgrade() -> None:
    """Create the triggers, in the language of the database at hand."""
    statements = sqlite_triggers if op.get_bind().dialect.name == "sqlite" else postgresql_triggers
    for name, event, table, rules in TRIGGERS:
        for statement in statements(name, event, table, rules):
            op.execute(statement)


def sqlite_triggers(name: str, event: str, table: str, rules: dict[str, str]) -> list[str]:
    """Return the statements that make one trigger a rule."""
    return [
        f"CREATE TRIGGER {name}_{number} BEFORE {event} ON {table} WHEN {refused} "
        f"BEGIN SELECT RAISE(ABORT, 'offload: {sentence}'); END"
        for number, (refused, sentence) in enumerate(rules.items())
    ]


def postgresql_triggers(name: str, event: str, table: str, rules: dict[str, str]) -> list[str]:
    """Return the statements that make one function of all rules and the trigger that calls it."""
    checks = " ".join(
        f"IF {refused} THEN RAISE EXCEPTION 'offload: {sentence}' USING ERRCODE = 'check_violation'; END IF;"
        for refused, sentence in rules.items()
    )
    return [
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {checks} RETURN NEW; END $$",
        f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()",
    ]
