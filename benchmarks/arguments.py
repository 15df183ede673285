"""Checks what is given on command lines."""


def positive(text: str) -> int:
    """Return a number that is at least 1; raises `ValueError`."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number
