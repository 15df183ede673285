"""What is read from request headers."""

import pytest
from litestar.datastructures import Headers

from offload_api.filenames import attachment, cleaned, from_disposition
from offload_api.headers import matches, preferred_wait_seconds
from offload_api.ranges import requested_range


@pytest.mark.parametrize(
    ("preference", "seconds"),
    [
        ("wait=5", 5),
        ("Wait = 5", 5),
        ('wait="5"', 5),
        ("respond-async, wait=5;x=1", 5),
        ("wait=31", 30),
        ("wait=" + "9" * 5000, 30),
        ("wait", 0),
        ("wait=", 0),
        ("wait=-1", 0),
        ("wait=1.5", 0),
        ("wait=٣", 0),
        ("waits=5", 0),
        ("", 0),
    ],
)
def test_a_preference_to_wait_is_read_and_bounded(preference: str, seconds: int) -> None:
    assert seconds == preferred_wait_seconds(Headers({"prefer": preference}))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('"a"', True),
        ('W/"a"', True),
        ('"x", "a"', True),
        ("*", True),
        ('"b"', False),
        ("a", False),
        ('"', False),
        ("", False),
    ],
)
def test_an_entity_tag_is_matched_weakly(header: str, expected: bool) -> None:
    assert expected == matches(Headers({"if-none-match": header}), '"a"')


def test_no_header_matches_nothing() -> None:
    assert not matches(Headers({}), '"a"')


def test_a_last_byte_behind_the_end_is_cut_to_it() -> None:
    assert (5, 10) == requested_range("bytes=5-99", 10)
    assert (0, 10) == requested_range("bytes=-99", 10)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("attachment; filename=a.csv", "a.csv"),
        ('attachment; filename="a b.csv"', "a b.csv"),
        (r'attachment; filename="a\"b"', 'a"b'),
        ("attachment; filename=\"x\"; filename*=UTF-8'de'%C3%A4", "ä"),
        ('attachment; filename="' + "ä.csv".encode().decode("latin-1") + '"', "ä.csv"),
        ("attachment; filename*=UTF-8''%FF", "\N{REPLACEMENT CHARACTER}"),
        ("attachment", ""),
        ("", ""),
    ],
)
def test_a_file_name_is_found_however_it_is_written(header: str, name: str) -> None:
    assert name == from_disposition(header)


def test_what_does_not_print_is_taken_out_of_a_name() -> None:
    assert "ab" == cleaned("\x00a\r\n\u202eb\x7f ")


@pytest.mark.parametrize("name", ['"; x="', "a\r\nSet-Cookie: a=b", "ä\u202e", "%0d%0a", "../..", "", "C:\\a"])
def test_an_offered_name_cannot_break_out_of_its_header(name: str) -> None:
    offered = attachment(name)

    assert offered.isascii()
    assert offered.isprintable()
    assert 2 == offered.count('"')
    assert "/" not in offered
