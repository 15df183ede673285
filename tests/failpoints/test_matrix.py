"""Each crash point with kill -9, an error, a hang and a lost answer, on each store, with and without RabbitMQ.

The cases are listed in `cases.py`. All that were selected are begun with the first, in lanes side by side, since they
mostly wait: for leases, and for hints to be repeated.
"""

from collections.abc import Iterator

import pytest

from tests.acceptance.conftest import COMBINATIONS
from tests.failpoints.cases import Case, cases
from tests.failpoints.matrix import Matrix

pytestmark = pytest.mark.timeout(1200)  # for all of them: the first to be asked for waits until it is its turn

CASES = [case for combination in COMBINATIONS for case in cases(combination)]


@pytest.fixture(scope="session")
def matrix(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    """All cases that this session has selected, under way."""
    functions = [item for item in request.session.items if isinstance(item, pytest.Function)]
    asked = [item.callspec.params.get("case") for item in functions if hasattr(item, "callspec")]
    wanted = [case for case in asked if isinstance(case, Case)]
    embedded = all(case.combination == "sqlite" for case in wanted)
    servers = None if embedded else request.getfixturevalue("servers")
    made = Matrix(wanted, servers, tmp_path_factory.mktemp("failpoints"))
    yield made
    made.close()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_job_ends_once_whatever_happens_at(case: Case, matrix: Matrix) -> None:
    matrix.results[case].result()


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_no_end_changes_and_nothing_is_left_after_all_cases_of(combination: str, matrix: Matrix) -> None:
    for lane in matrix.closings.get(combination, []):
        lane.result()
