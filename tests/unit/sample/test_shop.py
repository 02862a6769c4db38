"""The sample shop: facts counted by hand from the source, and the shift of its times."""

import gzip
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from whence.domain.events import LoggedEvent
from whence.sample import shop

ROOT = Path(__file__).resolve().parents[3]
SAMPLE = ROOT / "src" / "whence" / "sample"
SOURCE = ROOT.parent / "shared" / "data" / "online_retail_until_2011-10-31.parquet"
SAMPLE_BYTES_MAX = 2_000_000


def test_the_shop_has_five_hundred_items_and_three_months_of_purchases() -> None:
    items, purchases = shop.items(), shop.purchases()
    assert len(items) == 500
    assert len(purchases) == 65_780
    assert purchases[0].at == datetime(2011, 8, 1, 8, 30, tzinfo=UTC)
    assert purchases[-1].at == datetime(2011, 10, 31, 17, 13, tzinfo=UTC)
    assert {purchase.item_id for purchase in purchases} == {item["item_id"] for item in items}


def test_two_lines_of_one_invoice_and_item_are_one_purchase_with_the_summed_quantity() -> None:
    # The source has 12 and 24 pieces at 2.55 on invoice 561915.
    (purchase,) = [one for one in shop.purchases() if one.event_id == "561915:21175"]
    assert purchase == shop.Purchase(
        "561915:21175", "customer-14408", "21175", datetime(2011, 8, 1, 11, 23, tzinfo=UTC), 36, 91.8
    )


def test_a_customer_who_bought_a_parasol_twelve_times_has_twelve_purchases() -> None:
    bought = [
        one.at.date().isoformat()
        for one in shop.purchases()
        if one.user_id == "customer-15311" and one.item_id == "15056BL"
    ]
    assert len(bought) == 12
    assert (bought[0], bought[-1]) == ("2011-08-02", "2011-10-28")


def test_event_ids_are_unique() -> None:
    counts = Counter(purchase.event_id for purchase in shop.purchases())
    assert counts.most_common(1)[0][1] == 1


@pytest.mark.parametrize(
    ("item_id", "title", "categories"),
    [
        ("20914", "Set of 5 red retrospot lid glass bowls", ["kitchen", "retrospot"]),
        ("22086", "Paper chain kit 50's Christmas", ["christmas", "decorations"]),
        ("47503A", "Assorted floral print multi screwdriver", []),
        ("84347", "Rotating silver angels t-light holder", ["lights"]),
    ],
)
def test_titles_read_like_titles_and_categories_are_words_of_the_title(
    item_id: str, title: str, categories: list[str]
) -> None:
    (item,) = [one for one in shop.items() if one["item_id"] == item_id]
    assert item == {"item_id": item_id, "title": title, "categories": categories}


@pytest.mark.parametrize("now", ["2011-10-31T17:13:00+00:00", "2026-11-27T23:59:59+00:00", "2030-02-28T12:00:00+00:00"])
def test_the_shift_is_whole_weeks_and_puts_the_last_purchase_into_the_last_seven_days(now: str) -> None:
    last, moment = shop.purchases()[-1].at, datetime.fromisoformat(now)
    moved = last + timedelta(weeks=shop.weeks_to_recent(last, moment))
    assert timedelta(0) <= moment - moved < timedelta(days=7)
    assert moved.weekday() == last.weekday()


def test_a_purchase_becomes_an_event_of_the_api_moved_by_the_weeks() -> None:
    purchase = shop.Purchase("1:a", "customer-7", "a", datetime(2011, 10, 31, 17, 13, tzinfo=UTC), 3, 4.5)
    (event,) = shop.events([purchase], 2)
    assert event == {
        "event_id": "1:a",
        "event_type": "purchase",
        "user_id": "customer-7",
        "item_id": "a",
        "occurred_at": "2011-11-14T17:13:00Z",
        "quantity": 3,
        "value": 4.5,
    }
    assert msgspec.convert(event, LoggedEvent).occurred_at == datetime(2011, 11, 14, 17, 13, tzinfo=UTC)


def test_the_files_are_small_and_say_where_they_come_from() -> None:
    assert sum(path.stat().st_size for path in SAMPLE.iterdir() if path.is_file()) < SAMPLE_BYTES_MAX
    attribution = (SAMPLE / "ATTRIBUTION.md").read_text(encoding="utf-8")
    assert "Chen, D., Sain, S. L., Guo, K. (2012)" in attribution
    assert "CC BY" in attribution


@pytest.mark.needs_data(SOURCE.name)
def test_the_committed_files_are_what_the_script_cuts_from_the_source(tmp_path: Path) -> None:
    script = ROOT / "scripts" / "cut_sample_shop.py"
    subprocess.run([sys.executable, str(script), str(SOURCE), "--to", str(tmp_path)], check=True)
    assert (tmp_path / "items.jsonl").read_bytes() == (SAMPLE / "items.jsonl").read_bytes()
    made, committed = ((folder / "purchases.csv.gz").read_bytes() for folder in (tmp_path, SAMPLE))
    assert gzip.decompress(made) == gzip.decompress(committed)
