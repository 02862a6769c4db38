"""What an item may be; the routes' tests have the fields one by one."""

import pytest

from whence.catalogue.checks import check_batch_entry, check_item
from whence.domain.errors import InvalidInput


def fields_of(error: pytest.ExceptionInfo[InvalidInput]) -> list[str]:
    return [problem.field for problem in error.value.problems]


def test_a_title_is_enough() -> None:
    item = check_item({"title": "Shoe"})
    assert (item.available, item.categories, item.attributes, item.description) == (True, [], {}, None)


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(InvalidInput) as error:
        check_item({"title": "", "categories": ["ok", ""], "available": 1, "url": "ftp://x", "extra": 0})
    assert fields_of(error) == ["title", "categories[1]", "available", "url", "extra"]


def test_a_limit_is_given_as_a_number_too() -> None:
    with pytest.raises(InvalidInput) as error:
        check_item({"title": "x" * 501})
    assert error.value.problems[0].limit == 500


@pytest.mark.parametrize("document", [None, 5, "text", [], True])
def test_what_is_no_object_is_no_item(document: object) -> None:
    with pytest.raises(InvalidInput):
        check_item(document)
    with pytest.raises(InvalidInput):
        check_batch_entry(document)


def test_attributes_may_hold_whatever_json_holds() -> None:
    attributes = {"a": [1, 2.5, None, True, {"b": "\\u0000 as text"}], "ü": "😀"}
    assert check_item({"title": "t", "attributes": attributes}).attributes == attributes


def test_attributes_may_not_be_nested_without_end() -> None:
    deep: dict[str, object] = {}
    for _ in range(16):
        deep = {"a": deep}
    with pytest.raises(InvalidInput) as error:
        check_item({"title": "t", "attributes": deep})
    assert "nested" in error.value.problems[0].problem


def test_the_size_of_attributes_counts_in_bytes_of_json() -> None:
    fits = {"a": "x" * (8 * 1024 - len('{"a":""}'))}
    assert check_item({"title": "t", "attributes": fits})
    with pytest.raises(InvalidInput):
        check_item({"title": "t", "attributes": {"a": fits["a"] + "x"}})


@pytest.mark.parametrize("item_id", ["", ".", "..", "x" * 257, "a\x00", "\ud800", 5, None])
def test_a_batch_entry_needs_an_id_that_paths_can_carry(item_id: object) -> None:
    with pytest.raises(InvalidInput) as error:
        check_batch_entry({"item_id": item_id, "title": "t"})
    assert fields_of(error) == ["item_id"]


def test_a_batch_entry_is_an_item_with_its_id() -> None:
    item_id, item = check_batch_entry({"item_id": "a/b", "title": "t"})
    assert (item_id, item.title) == ("a/b", "t")
