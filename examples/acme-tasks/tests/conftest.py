import io
from collections.abc import Callable

import pytest
from PIL import Image


@pytest.fixture(scope="session")
def picture() -> Callable[[int, int], bytes]:
    """Make a picture of so many pixels."""

    def make(width: int, height: int) -> bytes:
        target = io.BytesIO()
        Image.linear_gradient("L").resize((width, height)).save(target, "PNG")
        return target.getvalue()

    return make
