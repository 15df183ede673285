"""How many connections there may be, and that the process may open so many."""

import subprocess
import sys

from offload_api.connections import MOST_TOLD, SPARE_DESCRIPTORS, Connections


def test_a_client_gets_no_more_places_than_it_may_have() -> None:
    places = Connections(most=10, most_of_client=2)

    assert [True, True, False] == [places.take_place("a") for _ in range(3)]
    assert places.take_place("b")
    places.give_back("a")
    assert places.take_place("a")


def test_all_clients_together_get_no_more_places_than_there_are() -> None:
    places = Connections(most=2, most_of_client=2)

    assert [True, True, False] == [places.take_place(client) for client in "abc"]


def test_of_those_that_are_turned_away_only_so_many_hold_a_descriptor_to_be_told() -> None:
    places = Connections(most=1, most_of_client=1)

    assert [True] * MOST_TOLD + [False] == [places.begin_telling() for _ in range(MOST_TOLD + 1)]
    places.end_telling()
    assert places.begin_telling()


def test_the_process_may_open_what_its_connections_need() -> None:
    code = (
        "import resource; from offload_api.connections import allow_descriptors\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))\n"
        "allow_descriptors(100); print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert 100 + SPARE_DESCRIPTORS == int(done.stdout)
