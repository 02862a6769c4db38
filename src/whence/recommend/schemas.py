"""The public JSON of `recommend`, for checking questions and describing answers."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from whence.catalogue.checks import CATEGORY_LENGTH_MAX, ITEMS_MAX, Item
from whence.domain.events import MAX_ID_LENGTH
from whence.domain.reasons import EvidenceCode
from whence.domain.state import Exclude, Horizon
from whence.kit.openapi import COMPONENT_REF, judged_alone
from whence.kit.parameters import id_problem
from whence.recommend.question import Explain, Rerank
from whence.recommend.read import CANDIDATES_MAX
from whence.recommend.render import Outcome, Strategy
from whence.recommend.signals import PAGE_MAX

LIMIT_DEFAULT = 10
EXCLUDED_ITEMS_MAX = 100
CATEGORIES_ASKED_MAX = 20
CURSOR_LENGTH_MAX = 64
TOKEN_LENGTH_MAX = 4_096


def _id(text: str) -> str:
    if problem := id_problem(text):
        raise ValueError(problem)
    return text


def _no_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    return text


Id = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH), AfterValidator(_id)]
Category = Annotated[str, Field(min_length=1, max_length=CATEGORY_LENGTH_MAX), AfterValidator(_no_nul)]
RecipeVersion = Annotated[
    int, Field(description="of the published event-type weights; 0 while those of WHENCE_EVENT_TYPES count")
]
Categories = Annotated[list[Category], Field(max_length=CATEGORIES_ASKED_MAX)]


class ListQuery(BaseModel):
    """Parameters of every list."""

    limit: int = Field(LIMIT_DEFAULT, ge=1, le=CANDIDATES_MAX, description="how many items at most")
    category: Categories = Field(default_factory=list, description="only items of any of these categories")


class RecommendationQuery(ListQuery):
    """Parameters of a user's recommendations."""

    surface: str | None = Field(
        None, max_length=32, description="where the list is shown: a declared one, the first of them if not given"
    )
    exclude: Exclude = Field("none", description="leave out what the user has ever touched, or bought")
    exclude_item: Annotated[list[Id], Field(max_length=EXCLUDED_ITEMS_MAX)] = Field(
        default_factory=list, description="leave these items out"
    )
    session: Id | None = Field(None, description="unite that session's signals with the user's")
    after: str | None = Field(
        None,
        max_length=TOKEN_LENGTH_MAX,
        description="a freshness token: waits up to 2 seconds until the events it names are in; if they are not by "
        "then, `degraded` is `stale`",
    )
    explain: Explain = Field("short", description="no reasons, the 3 strongest pieces of evidence, or all of them")
    rerank: Rerank = Field("auto", description="whether the list may be re-ranked; there is no re-ranker yet")


class WhyQuery(BaseModel):
    """Parameters of a question about one item."""

    exclude: Exclude = "none"
    session: Id | None = None


class SignalsQuery(BaseModel):
    """Parameters of a page of signals."""

    limit: int = Field(100, ge=1, le=PAGE_MAX)
    cursor: str | None = Field(None, max_length=CURSOR_LENGTH_MAX, description="`next` of the page before")


class ShownItem(BaseModel):
    """An item's catalogue entry in a list."""

    title: str
    description: str | None
    categories: list[str]
    attributes: dict[str, Any]
    url: str | None
    image_url: str | None


class EvidenceModel(BaseModel):
    """A part of a score and what it comes from; what does not apply is null."""

    code: EvidenceCode
    item_id: str | None = Field(description="the user's item that it comes from")
    event_type: str | None
    count: int | None = Field(description="how many such events of the user on that item")
    last_at: datetime | None
    horizon: Horizon | None = Field(description="for a trend: the half-life of what counts")
    category: str | None
    probability: float | None = Field(
        description="for a pair (`co_viewed`, `co_bought`): p(this item given the user's item), its share of all the "
        "pairs counted for the user's item; not a share of people"
    )
    contribution: float = Field(description="in score units")
    share: float | None = Field(description="contribution / score; null if the score is 0")


class RecommendedItem(BaseModel):
    """An item of a user's list."""

    item_id: str
    rank: int
    score: float
    base_rank: int = Field(description="its rank by score alone")
    explanation: str | None
    explanation_source: Literal["template"] | None
    evidence: list[EvidenceModel] = Field(description="the strongest first; with explain=full they sum to the score")
    item: ShownItem | None = Field(description="null for items without a catalogue entry")


class Freshness(BaseModel):
    """The state that an answer was made from."""

    token: str | None = Field(description="pass it on as `after` to get this state or a newer one")
    last_event_at: datetime | None = Field(description="the newest event applied in the user's partition")


class Refinement(BaseModel):
    """What the re-ranker did."""

    state: Literal["off"]
    model: None


OutcomeReason = Literal[
    "few_items_available",
    "no_items_available",
    "filters_left_few",
    "filters_left_none",
    "unknown_item",
    "no_neighbours_known",
    "no_recent_activity",
]


class Recommendations(BaseModel):
    """A user's list."""

    recommendation_id: str
    user_id: str
    surface: str
    generated_at: datetime
    strategy: Strategy
    recipe_version: RecipeVersion
    freshness: Freshness
    outcome: Outcome
    outcome_reason: OutcomeReason | None = Field(description="why the list is shorter than asked for")
    degraded: Literal["stale", "token_unknown"] | None
    refinement: Refinement
    items: list[RecommendedItem]


class ListedItem(BaseModel):
    """An item of a list that is the same for everybody."""

    item_id: str
    rank: int
    score: float
    item: ShownItem | None


class ItemList(BaseModel):
    """A list that is the same for everybody."""

    generated_at: datetime
    outcome: Outcome
    outcome_reason: OutcomeReason | None
    items: list[ListedItem]


class TrendList(ItemList):
    """Items by their share of the decayed activity."""

    horizon: Horizon


class SimilarList(ItemList):
    """Items that were touched together with one; `score` is p(item given that one)."""

    item_id: str


class SignalModel(BaseModel):
    """What is held of (user, item, event type)."""

    item_id: str
    event_type: str
    count: int
    weight: float = Field(description="the type's weight times the decayed sum now")
    last_at: datetime


class SignalsPage(BaseModel):
    """A page of what is held of a user."""

    user_id: str
    signals: list[SignalModel]
    next: str | None = Field(description="send it as `cursor` for the next page; null at the end")


class WhyPart(EvidenceModel):
    """A part of a score with its arithmetic."""

    title: str | None
    arithmetic: str = Field(description="an expression that gives the contribution")


class WhySignal(BaseModel):
    """The user's signal on the item itself."""

    event_type: str
    count: int
    last_at: datetime
    type_weight: float
    decayed_sum: float
    weight: float


class Obstacle(BaseModel):
    """Something that keeps an item out of the list."""

    code: str
    text: str


class Why(BaseModel):
    """Everything behind one item's score for a user."""

    user_id: str
    item_id: str
    title: str | None
    as_of: datetime
    recipe_version: RecipeVersion
    score: float
    rank: int | None
    listed: bool
    not_listed_because: list[Obstacle]
    explanation: str | None
    parts: list[WhyPart]
    signals: list[WhySignal]
    freshness: Freshness


class CatalogueItem(Item):
    """An item as it stands in the catalogue."""

    item_id: str
    updated_at: datetime


class BatchEntry(Item):
    """An item of a batch: its id beside its fields."""

    item_id: Id


class Batch(BaseModel):
    """Items to put."""

    items: list[BatchEntry] = Field(min_length=1, max_length=ITEMS_MAX)


class BatchResult(BaseModel):
    """What became of one entry."""

    index: int
    status: Literal[200, 201, 422]
    item_id: str | None = None
    problem: dict[str, Any] | None = None


class BatchAnswer(BaseModel):
    """What became of a batch."""

    accepted: int
    rejected: int
    results: list[BatchResult]


class Deleted(BaseModel):
    """That an item was withdrawn."""

    item_id: str
    deleted: Literal[True]


def component_schemas() -> dict[str, Any]:
    """The schemas of what clients send."""
    batch = Batch.model_json_schema(ref_template=COMPONENT_REF)
    entry = batch.pop("$defs")["BatchEntry"]
    batch["properties"]["items"]["items"] = judged_alone("ItemEntry")
    return {"Item": Item.model_json_schema(), "ItemEntry": entry, "ItemBatch": batch}
