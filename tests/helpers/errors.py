"""What a user reads who made a mistake."""

import pytest

from aurl import UserError


def error_message(function, *arguments, **options):
    """The message of the call's UserError, which must be one line."""
    with pytest.raises(UserError) as caught:
        function(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)
