"""Freshness tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.domain.errors import InvalidInput
from whence.domain.tokens import MAX_TOKEN_LENGTH, FreshnessToken, parse_token

tokens = st.builds(
    FreshnessToken,
    st.binary(min_size=4, max_size=4).map(bytes.hex),
    st.dictionaries(st.integers(0, 255), st.integers(0, 2**63 - 1), min_size=1, max_size=40),
)


@given(tokens)
def test_a_token_reads_back_as_it_was_written(token: FreshnessToken) -> None:
    assert parse_token(str(token)) == token


def test_a_token_is_written_in_partition_order() -> None:
    assert str(FreshnessToken("9f3c2a10", {12: 7, 3: 1042})) == "9f3c2a10.3:1042,12:7"


def test_a_token_of_256_full_partitions_fits() -> None:
    token = FreshnessToken("9f3c2a10", dict.fromkeys(range(256), 2**63 - 1))
    assert len(str(token)) <= MAX_TOKEN_LENGTH
    assert parse_token(str(token)) == token


@pytest.mark.parametrize(
    "text",
    [
        "",
        "9f3c2a10",
        "9f3c2a10.",
        "9F3C2A10.3:1042",
        "9f3c2a1.3:1042",
        "9f3c2a10.3",
        "9f3c2a10.3:",
        "9f3c2a10.3:-1",
        "9f3c2a10.3:1,",
        "9f3c2a10.3:1;4:2",
        "9f3c2a10.3:1\n",
        " 9f3c2a10.3:1",
        "9f3c2a10.٣:1",
        "9f3c2a10." + ",".join(f"{partition}:1" for partition in range(2_000)),
    ],
)
def test_anything_else_is_refused_with_the_fields_name(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_token(text)
    (problem,) = refused.value.problems
    assert problem.field == "after"
    assert "ingest" in problem.problem
