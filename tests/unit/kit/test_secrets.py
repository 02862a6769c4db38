"""Passwords do not survive in what people get to see."""

import pytest

from whence.kit.secrets import without_passwords


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:hush@h/d", "postgresql://u:***@h/d"),
        ("kafka://u:hush@h:9092/t and redis://:hush@h", "kafka://u:***@h:9092/t and redis://:***@h"),
        ("postgresql:///d?host=/run&password=hush&user=u", "postgresql:///d?host=/run&password=***&user=u"),
        ("host=h password=hush user=u", "host=h password=*** user=u"),
        ("http://h:7071/v1/users/a@b", "http://h:7071/v1/users/a@b"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_passwords_are_replaced(text: str, shown: str) -> None:
    assert without_passwords(text) == shown
