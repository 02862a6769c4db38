"""Cut the sample shop from UCI "Online Retail": the 500 items bought most often from August to October 2011.

    .venv/bin/python scripts/cut_sample_shop.py [SOURCE.parquet] [--to FOLDER]

Nothing is invented: every purchase is one of a real, numbered customer. Left out are lines without a customer,
cancelled or free lines, and codes that are no goods (postage, fees). The lines of one invoice and item become one
purchase: earliest time, summed quantity, summed value. Titles are put into sentence case; categories are words that
the title holds. The same source gives the same bytes.

Source: Chen, D., Sain, S. L., Guo, K. (2012): Data mining for the online retail industry. Licence CC BY 4.0.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT.parent / "shared" / "data" / "online_retail_until_2011-10-31.parquet"
TARGET = ROOT / "src" / "whence" / "sample"

FIRST_MOMENT = datetime(2011, 8, 1, tzinfo=UTC)
"""Three months: enough that customers come back, few enough to import in seconds."""

ITEMS_MAX = 500
"""A shop that a person can look through."""

GOODS_CODE = re.compile(r"[0-9]{5}")
"""What is for sale starts with five digits; POST, DOT, BANK CHARGES and the like do not."""

ABBREVIATIONS = {
    "ass": "assorted",
    "asst": "assorted",
    "asstd": "assorted",
    "ant": "antique",
    "hldr": "holder",
    "childrens": "children's",
    "gardeners": "gardener's",
    "doiley": "doily",
    "cakestand": "cake stand",
    "n0": "no",
    "reto": "retro",
}
"""Shorthand and slips of the source, spelled out."""

NAMES = (
    "Amelie Antoinette Buffalo Bill Charlotte Christmas Dolly Edwardian England English French Gymkhana I Jack LED "
    "London Lola Molly Nancy Olivia Ollie Parisienne Poppy's Regency Rex Rosie Scandinavian Spaceboy Suki Tokyo Union "
    "Victorian"
)
PROPER = {name.lower(): name for name in NAMES.split()}
"""Words that keep their capitals in sentence case."""

CATEGORY_WORDS: Mapping[str, str] = {
    "bags": "bag|bags|shopper|backpack|rucksack",
    "baking": "baking|cake|cakes|cookie cutter|cookie cutters|petit four|jelly moulds",
    "bathroom": "bathroom|washroom|toilet|baths",
    "children": "children's|kids|spaceboy|dolly girl|toy|doll|skittles|jigsaw|skipping|gliders|playhouse|spinning tops",
    "christmas": "christmas|advent|nativity|reindeer|mistletoe|holly|sleigh|snowy|baubles|santa|stocking",
    "clocks": "clock",
    "crafts": "feltcraft|craft|knitting|sewing|ribbon|ribbons|paint|crayons|modelling clay",
    "decorations": "decoration|decorations|wreath|bunting|ornament|wicker|paper chain|hanging heart",
    "games": "card game|playing cards|snap cards|game|bingo|snakes|dominoes|skittles|jigsaw",
    "garden": "garden|gardener's|parasol|secateurs|shed",
    "home": "cabinet|drawer|stool|knob|hook|hooks|hanger|rack|chest|cushion|frame|mirror|wall art|doorstop|block word",
    "kitchen": "kitchen|pantry|jam|storage jar|cookie jar|jug|bowl|bowls|beaker|mug|cutlery|tea set|tea towels|teacup|"
    "tea plate|teapot|tins|biscuit tin|storage tin|bread bin|scales|apron|milk|recipe|spice|sugar|egg cup|popcorn|"
    "tea glass|oven glove|cake stand",
    "lights": "candle|candles|candleholder|t-light|t-lights|lantern|light|lights",
    "lunch": "lunch|snack|picnic",
    "party": "party|birthday|napkins|cracker|crackers|paper plates|doilies|tissues|fairy cake cases",
    "retrospot": "retrospot",
    "signs": "sign|signs|chalkboard|blackboard|black board|doormat",
    "stationery": "pencils|pen|notebook|notebooks|note books|notepad|wrap|birthday card|magnets|magnetic|stationery|"
    "calendar|ruler|tags|exercise books",
    "vintage": "vintage|antique",
    "warmth": "hand warmer|hottie|hot water bottle",
}
"""A category and the words, as a pattern, that put an item with one of them in its title into it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an invoice, as the source has it."""

    invoice: str
    item: str
    title: str
    quantity: int
    second: int
    price: float
    customer: int


@dataclass(slots=True)
class Purchase:
    """What one customer bought of one item on one invoice."""

    invoice: str
    item: str
    customer: int
    second: int
    quantity: int = 0
    value: float = 0.0


def main() -> None:
    """Read the source, choose, and write the files of the sample shop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", type=Path, default=SOURCE)
    parser.add_argument("--to", type=Path, default=TARGET, help="folder of the files")
    arguments = parser.parse_args()
    if not arguments.source.is_file():
        sys.exit(f"There is no {arguments.source}: name the Parquet file of Online Retail.")
    lines = goods(read(arguments.source))
    chosen = {item for item, _ in ranked(line.item for line in lines)[:ITEMS_MAX]}
    lines = [line for line in lines if line.item in chosen]
    (arguments.to / "items.jsonl").write_bytes(items_file(lines))
    (arguments.to / "purchases.csv.gz").write_bytes(purchases_file(purchases(lines)))


def read(source: Path) -> list[Line]:
    """All lines of the source; customer 0 where it names none."""
    columns = pyarrow.parquet.read_table(source).to_pydict()
    names = ("invoice", "item_code", "title", "qty", "ts", "price", "user")
    rows = zip(*(columns[name] for name in names), strict=True)
    return [
        Line(invoice, item, title, quantity, second, price, customer or 0)
        for invoice, item, title, quantity, second, price, customer in rows
    ]


def goods(lines: Iterable[Line]) -> list[Line]:
    """The lines that are purchases of goods by a known customer in our months."""
    start = FIRST_MOMENT.timestamp()
    return [
        line
        for line in lines
        if line.customer
        and line.quantity > 0
        and line.price > 0
        and GOODS_CODE.match(line.item)
        and line.second >= start
    ]


def ranked(values: Iterable[str]) -> list[tuple[str, int]]:
    """Values with their counts, the most frequent first, equal ones in alphabetical order."""
    return sorted(Counter(values).items(), key=lambda entry: (-entry[1], entry[0]))


def purchases(lines: Iterable[Line]) -> list[Purchase]:
    """One purchase for each invoice and item, in the order of time, invoice, item."""
    found: dict[tuple[str, str], Purchase] = {}
    for line in lines:
        key = (line.invoice, line.item)
        purchase = found.setdefault(key, Purchase(line.invoice, line.item, line.customer, line.second))
        if purchase.customer != line.customer:
            sys.exit(f"Invoice {line.invoice} names two customers: invoice and item are no identity then.")
        purchase.second = min(purchase.second, line.second)
        purchase.quantity += line.quantity
        purchase.value += line.quantity * line.price
    return sorted(found.values(), key=lambda purchase: (purchase.second, purchase.invoice, purchase.item))


def title_of(raw: str) -> str:
    """A title of the source in sentence case, with its shorthand spelled out.

    >>> title_of(" SET/5 RED  RETROSPOT LID GLASS BOWLS ")
    'Set of 5 red retrospot lid glass bowls'
    >>> title_of("PAPER CHAIN KIT 50'S CHRISTMAS ")
    "Paper chain kit 50's Christmas"
    """
    text = re.sub(r"\b(?:set ?of|set/|s/)(?=\d)", "set of ", raw.lower())
    text = re.sub(r"\s+([,.])", r"\1", " ".join(text.split())).strip(" .,")
    text = re.sub(r"[a-z0-9']+", lambda word: ABBREVIATIONS.get(word[0], word[0]), text)
    text = re.sub(r"[a-z0-9']+", lambda word: PROPER.get(word[0], word[0]), text)
    return text[0].upper() + text[1:]


def categories_of(title: str) -> list[str]:
    """The categories that the words of a title name, in alphabetical order; none if none does."""
    text = title.lower()
    return [name for name, words in CATEGORY_WORDS.items() if re.search(rf"(?<![\w-])(?:{words})(?![\w'-])", text)]


def items_file(lines: Iterable[Line]) -> bytes:
    """The catalogue as JSON lines, by item id; the title is the one that most lines carry."""
    titles: defaultdict[str, list[str]] = defaultdict(list)
    for line in lines:
        titles[line.item].append(title_of(line.title))
    entries = []
    for item in sorted(titles):
        title = ranked(titles[item])[0][0]
        entries.append({"item_id": item, "title": title, "categories": categories_of(title)})
    return "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries).encode()


def purchases_file(found: Iterable[Purchase]) -> bytes:
    """The purchases as gzipped CSV without a file name or time in its header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["invoice", "item_id", "customer", "time", "quantity", "value"])
    for purchase in found:
        moment = datetime.fromtimestamp(purchase.second, UTC).strftime("%Y-%m-%dT%H:%M")
        value = f"{purchase.value:.2f}"
        writer.writerow([purchase.invoice, purchase.item, purchase.customer, moment, purchase.quantity, value])
    return gzip.compress(text.getvalue().encode(), compresslevel=9, mtime=0)


if __name__ == "__main__":
    main()
