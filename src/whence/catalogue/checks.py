"""What an item of the catalogue may be: fields, limits, and errors that name both."""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from whence.domain.errors import FieldProblem, InvalidInput
from whence.kit.parameters import field_problems, id_problem

TITLE_LENGTH_MAX = 500
DESCRIPTION_LENGTH_MAX = 10_000
CATEGORIES_MAX = 50
CATEGORY_LENGTH_MAX = 200
URL_LENGTH_MAX = 2_048
"""Characters; longer addresses do not work in all browsers."""

ATTRIBUTES_BYTES_MAX = 8 * 1024
"""The JSON of `attributes`; every list shows it for each of its items."""

ATTRIBUTES_DEPTH_MAX = 16

ITEMS_MAX = 1_000
"""Items of one batch."""


def _storable_text(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    if not is_unicode(text):
        raise ValueError("must be valid Unicode, without lone surrogates")
    return text


def is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8: Python's strings may hold lone surrogates, nothing else takes them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _web_address(text: str) -> str:
    if not text.startswith(("https://", "http://")):
        raise ValueError("must start with https:// or http://")
    return text


def _storable(attributes: dict[str, Any]) -> dict[str, Any]:
    if _depth(attributes, ATTRIBUTES_DEPTH_MAX + 1) > ATTRIBUTES_DEPTH_MAX:
        raise ValueError(f"must not be nested deeper than {ATTRIBUTES_DEPTH_MAX} levels")
    try:
        encoded = json.dumps(attributes, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size_bytes = len(encoded.encode())
    except ValueError as error:  # NaN, infinity, a lone surrogate
        raise ValueError("must hold only finite numbers and valid Unicode") from error
    if _has_nul(attributes):
        raise ValueError("must not contain NUL characters")
    if size_bytes > ATTRIBUTES_BYTES_MAX:
        raise ValueError(f"must be at most {ATTRIBUTES_BYTES_MAX} bytes of JSON, not {size_bytes}")
    return attributes


def _depth(value: object, limit: int) -> int:
    """How deeply nested a value is, looking at most *limit* levels down."""
    if limit == 0 or not isinstance(value, dict | list):
        return 0
    children = value.values() if isinstance(value, dict) else value
    return 1 + max((_depth(child, limit - 1) for child in children), default=0)


def _has_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(_has_nul(part) for pair in value.items() for part in pair)
    return isinstance(value, list) and any(_has_nul(part) for part in value)


_Text = Annotated[str, AfterValidator(_storable_text)]
_Title = Annotated[_Text, Field(min_length=1, max_length=TITLE_LENGTH_MAX), AfterValidator(_not_blank)]
_Category = Annotated[_Text, Field(min_length=1, max_length=CATEGORY_LENGTH_MAX), AfterValidator(_not_blank)]
_Url = Annotated[_Text, Field(max_length=URL_LENGTH_MAX), AfterValidator(_web_address)]


class Item(BaseModel):
    """An item as a client gives it."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"title": "Trail shoe", "categories": ["shoes", "outdoor"], "attributes": {"colour": "red"}},
            ]
        },
    )

    title: _Title = Field(description="what people call it")
    description: Annotated[_Text, Field(max_length=DESCRIPTION_LENGTH_MAX)] | None = None
    categories: list[_Category] = Field(
        default_factory=list, max_length=CATEGORIES_MAX, description="for the `category` filter"
    )
    attributes: Annotated[dict[str, Any], AfterValidator(_storable)] = Field(
        default_factory=dict, description=f"anything else; at most {ATTRIBUTES_BYTES_MAX} bytes of JSON"
    )
    available: bool = Field(True, description="whether it may be recommended now")
    url: _Url | None = None
    image_url: _Url | None = None


def check_item(document: object) -> Item:
    """The item that a JSON document describes.

    Raises:
        InvalidInput: With one problem for each field that is wrong.
    """
    try:
        return Item.model_validate(document)
    except ValidationError as error:
        raise InvalidInput(field_problems(error.errors())) from error  # type: ignore[arg-type]  # a TypedDict


def check_batch_entry(document: object) -> tuple[str, Item]:
    """The id and the item of one entry of a batch: an item's fields with `item_id` beside them.

    Raises:
        InvalidInput: With one problem for each field that is wrong.
    """
    if not isinstance(document, dict):
        raise InvalidInput([FieldProblem("", "must be an object with item_id and title")])
    item_id, problems = document.get("item_id"), []
    if "item_id" not in document:
        problems.append(FieldProblem("item_id", "is missing; it is required"))
    elif problem := _id_problem(item_id):
        problems.append(FieldProblem("item_id", problem))
    try:
        item = check_item({name: value for name, value in document.items() if name != "item_id"})
    except InvalidInput as error:
        raise InvalidInput(problems + error.problems) from error
    if problems:
        raise InvalidInput(problems)
    return str(item_id), item


def _id_problem(item_id: object) -> str | None:
    if not isinstance(item_id, str):
        return "must be a string"
    if not is_unicode(item_id):
        return "must be valid Unicode, without lone surrogates"
    return id_problem(item_id)
