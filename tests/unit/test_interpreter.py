"""Claims about how a service uses its interpreter."""

import gc

from offload_shared.interpreter import keep_what_is_there


def test_what_is_there_once_a_process_is_set_up_is_never_searched_for_garbage_again() -> None:
    there = len(gc.get_objects())
    keep_what_is_there()
    try:
        assert gc.get_freeze_count() > there / 2
        assert len(gc.get_objects()) < there / 2
    finally:
        gc.unfreeze()
