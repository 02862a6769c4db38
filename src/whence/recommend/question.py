"""What a client may ask for."""

from dataclasses import dataclass
from typing import Literal

from whence.domain.state import Exclude
from whence.domain.tokens import FreshnessToken

Explain = Literal["none", "short", "full"]
Rerank = Literal["auto", "off", "wait"]


@dataclass(frozen=True, slots=True)
class Question:
    """What a client asks for, checked."""

    user_id: str
    surface: str
    limit: int = 10
    exclude: Exclude = "none"
    categories: tuple[str, ...] = ()
    excluded_items: tuple[str, ...] = ()
    session: str | None = None
    after: FreshnessToken | None = None
    explain: Explain = "short"

    @property
    def subjects(self) -> list[str]:
        """Whose signals count: the user's, and the session's if one is to be united with them."""
        return list(dict.fromkeys([self.user_id, *([self.session] if self.session else [])]))

    @property
    def is_filtered(self) -> bool:
        """Whether the question itself leaves items out."""
        return bool(self.categories or self.excluded_items) or self.exclude != "none"
