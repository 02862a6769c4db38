"""The error families.

WhenceError
├── InvalidInput            bad forever: 422 to a client, a dead letter in the log, exit 2 at the command line
│   ├── InvalidEvent            with one `FieldProblem` for each field that is wrong
│   └── MalformedInput          cannot be read at all: 400 to a client
├── DependencyUnavailable   may heal: 503 or a labelled fallback; no commit, back off, try again; exit 3
│   ├── PartitionUnavailable    one partition of the log does not answer; others may
│   └── OutcomeUnknown          the request may have taken effect: send again with the same identity
│       └── PartlyAppended          of several records some are in the log, the others may be
├── LostOwnership           another process owns the partition now: forget what is in memory, take part anew
├── LogDamaged              the log lacks records we have not applied, or is another log: stop that partition, alarm
│   └── LogCutOff               it ends before our position: damage if it stays so
└── BrokenInvariant         our bug: 500; stop and be restarted
"""

from dataclasses import dataclass


class WhenceError(Exception):
    """The root of everything that Whence raises on purpose. The message says what is wrong and how to mend it."""


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one field.

    Attributes:
        field: Its name as the client wrote it; `a.b` or `items[3].a` for nested ones; "" for the body as a whole.
        problem: A sentence that says what is wrong and what would be right.
        limit: The bound that was passed, if there is one.
    """

    field: str
    problem: str
    limit: str | int | float | None = None

    def __str__(self) -> str:
        """Field and sentence on one line."""
        return f"{self.field}: {self.problem}" if self.field else self.problem

    def as_dict(self) -> dict[str, str | int | float]:
        """The entry in the `errors` list of a problem document."""
        entry: dict[str, str | int | float] = {"field": self.field, "problem": self.problem}
        return entry if self.limit is None else {**entry, "limit": self.limit}


class InvalidInput(WhenceError):
    """Input that can never be accepted as it is."""

    def __init__(self, problems: list[FieldProblem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


class InvalidEvent(InvalidInput):
    """An event that breaks a rule."""


class MalformedInput(InvalidInput):
    """Bytes that are not what they should be: not JSON, not UTF-8, nested without end."""


class DependencyUnavailable(WhenceError):
    """Something outside this process does not answer; it may heal.

    Attributes:
        dependency: Its short name (`postgresql`, `kafka`, `ingest`), a value of metric labels.
    """

    def __init__(self, dependency: str, message: str) -> None:
        super().__init__(message)
        self.dependency = dependency


class PartitionUnavailable(DependencyUnavailable):
    """One partition of the log does not answer now (it has no leader, say): leave it for later, go on with others."""


class OutcomeUnknown(DependencyUnavailable):
    """The answer did not come: the request may have taken effect. Repeat it with the same identity."""


class PartlyAppended(OutcomeUnknown):
    """Of several records some are in the log for certain; for the others that is unknown.

    Attributes:
        offsets: For each record its offset, or None where it is unknown whether the log has it.
    """

    def __init__(self, dependency: str, message: str, offsets: list[int | None]) -> None:
        super().__init__(dependency, message)
        self.offsets = offsets


class LostOwnership(WhenceError):
    """The partition's position or epoch is not what we left: another process has taken the partition over."""


class LogDamaged(WhenceError):
    """The log cannot give the records that come next: trimmed, truncated or another log altogether.

    Attributes:
        partition: The one that is damaged; None if it is the log as a whole.
    """

    def __init__(self, message: str, partition: int | None = None) -> None:
        super().__init__(message)
        self.partition = partition


class LogCutOff(LogDamaged):
    """The log ends before our position: it was cut off, or who answers for it has not caught up. Time will tell."""


class BrokenInvariant(WhenceError):
    """A state that our own rules exclude."""
