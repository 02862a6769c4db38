"""The error families."""

from whence.domain.errors import (
    BrokenInvariant,
    DependencyUnavailable,
    FieldProblem,
    InvalidEvent,
    InvalidInput,
    LogCutOff,
    LogDamaged,
    LostOwnership,
    OutcomeUnknown,
    PartitionUnavailable,
    PartlyAppended,
    WhenceError,
)


def test_the_families_are_those_of_the_tree() -> None:
    families = {InvalidInput, DependencyUnavailable, LostOwnership, LogDamaged, BrokenInvariant}
    assert set(WhenceError.__subclasses__()) == families
    assert issubclass(InvalidEvent, InvalidInput)
    assert issubclass(PartlyAppended, OutcomeUnknown)
    assert issubclass(OutcomeUnknown, DependencyUnavailable)
    assert issubclass(PartitionUnavailable, DependencyUnavailable)


def test_a_problem_names_its_limit_only_if_there_is_one() -> None:
    assert FieldProblem("quantity", "must be above 0").as_dict() == {"field": "quantity", "problem": "must be above 0"}
    assert FieldProblem("user_id", "too long", 256).as_dict() == {
        "field": "user_id",
        "problem": "too long",
        "limit": 256,
    }
    assert FieldProblem("value", "too small", 0).as_dict()["limit"] == 0


def test_invalid_input_speaks_of_every_field() -> None:
    error = InvalidEvent([FieldProblem("item_id", "is missing"), FieldProblem("value", "is no number")])
    assert str(error) == "item_id: is missing; value: is no number"
    assert [problem.field for problem in error.problems] == ["item_id", "value"]


def test_errors_carry_what_their_handlers_need() -> None:
    assert DependencyUnavailable("kafka", "down").dependency == "kafka"
    assert PartlyAppended("kafka", "half", [7, None]).offsets == [7, None]
    assert LogDamaged("trimmed", 3).partition == 3
    assert LogCutOff("cut off", 3).partition == 3
    assert LogDamaged("another log").partition is None
