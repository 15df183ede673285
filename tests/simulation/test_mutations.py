"""Each rule broken on purpose: the simulation notices, or says why nothing goes wrong."""

import pytest

from tests.simulation.mutations import MUTATIONS, Mutation, broken

#: A change of the code may move which seeds catch a mutation; so many are tried, beginning with one that did.
SEEDS = 60
SURVIVOR_SEEDS = 5

CAUGHT = [mutation for mutation in MUTATIONS if not mutation.survives]
SURVIVING = [mutation for mutation in MUTATIONS if mutation.survives]


@pytest.mark.parametrize("mutation", CAUGHT, ids=lambda mutation: mutation.rule)
def test_without_this_rule_an_invariant_is_violated(mutation: Mutation) -> None:
    seeds = range(mutation.first_seed, mutation.first_seed + SEEDS)

    assert any(broken(mutation, seed).violation for seed in seeds)


@pytest.mark.parametrize("mutation", SURVIVING, ids=lambda mutation: mutation.rule)
def test_without_this_rule_nothing_that_is_promised_breaks(mutation: Mutation) -> None:
    assert [""] * SURVIVOR_SEEDS == [broken(mutation, seed).violation for seed in range(1, SURVIVOR_SEEDS + 1)]


@pytest.mark.parametrize(
    ("rule", "refusal"),
    [
        ("only the running attempt ends a job", "only the running attempt of a job can end"),
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
