"""Each rule broken on purpose: the simulation notices, or says why nothing goes wrong."""

from dataclasses import replace

import pytest

from tests.simulation.mutations import MUTATIONS, REWRITTEN, Mutation, Rewriting, broken
from tests.simulation.world import UNEXPECTED, Verdict

#: A change of the code may move which seeds catch a mutation; so many are tried, beginning with one that did.
SEEDS = 60
SURVIVOR_SEEDS = 5

CAUGHT = [mutation for mutation in MUTATIONS if not mutation.survives]
SURVIVING = [mutation for mutation in MUTATIONS if mutation.survives]


@pytest.mark.parametrize("mutation", CAUGHT, ids=lambda mutation: mutation.rule)
def test_without_this_rule_an_invariant_is_violated(mutation: Mutation) -> None:
    seeds = range(mutation.first_seed, mutation.first_seed + SEEDS)

    assert any(mutation.is_caught_by(broken(mutation, seed)) for seed in seeds)


@pytest.mark.parametrize("mutation", SURVIVING, ids=lambda mutation: mutation.rule)
def test_without_this_rule_nothing_that_is_promised_breaks(mutation: Mutation) -> None:
    verdicts = [broken(mutation, seed) for seed in range(1, SURVIVOR_SEEDS + 1)]

    assert [""] * SURVIVOR_SEEDS == [verdict.violation for verdict in verdicts]
    assert not isinstance(mutation.breaking, Rewriting) or verdicts[-1].counts[REWRITTEN]


def test_an_error_alone_catches_no_mutation_unless_it_is_meant_to() -> None:
    error = Verdict(1, f"{UNEXPECTED}: worker-1: IntegrityError: NOT NULL constraint failed")
    unchanged = Mutation("a rule", lambda *_: None)

    assert not unchanged.is_caught_by(error)
    assert not unchanged.is_caught_by(Verdict(1))
    assert unchanged.is_caught_by(Verdict(1, "no final job changes"))
    assert replace(unchanged, refused=True).is_caught_by(error)


def test_a_mutation_whose_statement_has_changed_is_an_error_and_not_caught() -> None:
    rotten = Mutation("a rule", Rewriting("attempt=(job.attempt + ?)", "AND no.such = ?", ""))

    with pytest.raises(AssertionError, match=r"the statement has changed; the mutation finds no 'AND no.such = \?'"):
        broken(rotten, 1)


@pytest.mark.parametrize(
    ("rule", "refusal"),
    [
        ("only a running job is ended", "only the running attempt of a job can end"),
        ("a claim raises the attempt", "a claim raises the attempt"),
        ("a claim takes queued jobs only", "only a claim raises the attempt, by one"),
        ("a result is stored with the end of its job", "an attempt ends with the outcome that its job takes on"),
    ],
)
def test_where_a_rule_of_a_verb_is_broken_the_store_itself_refuses(rule: str, refusal: str) -> None:
    [mutation] = [each for each in MUTATIONS if each.rule == rule]

    seeds = range(mutation.first_seed, mutation.first_seed + SEEDS)
    violations = (broken(mutation, seed, triggers=True).violation for seed in seeds)

    assert any(refusal in violation for violation in violations)
