"""What the tests of training share."""

import pytest
from colored import videos


@pytest.fixture(scope="module")
def data():
    """Clips to train on and to validate with."""
    return videos(16, 1, random=0), videos(4, 2)
