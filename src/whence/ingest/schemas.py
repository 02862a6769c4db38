"""The public JSON of ingest, for its API description. What is really checked stands in `domain/event_fields.py`."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from whence.domain.event_fields import MAX_POSITION
from whence.domain.events import MAX_BATCH_EVENTS, MAX_CONTEXT_BYTES, MAX_ID_LENGTH, EventTypes
from whence.kit.openapi import COMPONENT_REF, judged_alone

EXAMPLE_ID = "0199a3c4-7d2e-7b6a-9a53-0f6f1f6a2c11"
EXAMPLE_TOKEN = "9f3c2a10.3:1042"  # noqa: S105  # no secret


class Event(BaseModel):
    """A fact: somebody did something with an item. A field that is `null` counts as absent."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "anyOf": [
                {"required": ["user_id"], "properties": {"user_id": {"type": "string"}}},
                {"required": ["session_id"], "properties": {"session_id": {"type": "string"}}},
            ],
            "examples": [{"event_type": "view", "user_id": "u1", "item_id": "i9"}],
        },
    )

    event_type: str = Field(description="One of the installation's event types.")
    item_id: str = Field(min_length=1, max_length=MAX_ID_LENGTH, description="No NUL, not `.` or `..`; so for all ids.")
    event_id: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_ID_LENGTH,
        description="Names the event: the same (user, event_id) within 24 h counts once, so a retry is safe. Made "
        "for you as UUIDv7 if absent.",
    )
    user_id: str | None = Field(
        None, min_length=1, max_length=MAX_ID_LENGTH, description="Who acted; needed unless there is a session_id."
    )
    session_id: str | None = Field(
        None, min_length=1, max_length=MAX_ID_LENGTH, description="Stands for the user while there is none."
    )
    occurred_at: datetime | None = Field(
        None,
        description="RFC 3339 with offset; at most 12 h back (any age since 1970 in a backfill) and 60 s ahead; the "
        "time of receipt if absent.",
    )
    value: float | None = Field(None, description="Kept with the event; never counted.")
    quantity: float | None = Field(None, gt=0, description="Kept with the event; an event counts once.")
    recommendation_id: str | None = Field(
        None, min_length=1, max_length=MAX_ID_LENGTH, description="The list that led to it."
    )
    position: int | None = Field(None, ge=0, le=MAX_POSITION, description="Its place in that list.")
    surface: str | None = Field(None, min_length=1, max_length=MAX_ID_LENGTH, description="Where it was shown.")
    context: dict[str, Any] | None = Field(
        None, description=f"Anything of your own: at most {MAX_CONTEXT_BYTES} bytes of JSON, 16 levels deep."
    )


class Batch(BaseModel):
    """Events to take at once."""

    model_config = ConfigDict(extra="forbid")

    events: list[Event] = Field(min_length=1, max_length=MAX_BATCH_EVENTS)


class EventAccepted(BaseModel):
    """The log has the event."""

    event_id: str = Field(examples=[EXAMPLE_ID])
    token: str = Field(examples=[EXAMPLE_TOKEN], description="Send it as `after` to read a list that knows the event.")


class EntryResult(BaseModel):
    """What became of one entry of a batch."""

    index: int = Field(description="The entry's place, from 0; blank lines do not count.")
    status: Literal[202, 422, 503]
    event_id: str = Field("", description="Absent if the entry is not a valid event.")
    problem: dict[str, Any] = Field({}, description="A problem document; absent if the log has the event.")


class BatchAnswer(BaseModel):
    """What became of a batch. 503 entries may be in the log: send them again with the same event_id."""

    accepted: int
    rejected: int
    token: str | None = Field(examples=[EXAMPLE_TOKEN], description="For all accepted events together; null if none.")
    results: list[EntryResult]


def component_schemas(types: EventTypes) -> dict[str, Any]:
    """The schemas of what clients send, with the installation's event types."""
    event = Event.model_json_schema()
    event["properties"]["event_type"]["enum"] = list(types.names)
    batch = Batch.model_json_schema(ref_template=COMPONENT_REF)
    batch.pop("$defs")
    batch["properties"]["events"]["items"] = judged_alone("Event")
    return {"Event": event, "Batch": batch}
