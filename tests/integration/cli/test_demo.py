"""`whence demo` for real: twice on one state, with the facts that it tells compared with the sample shop's files."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from whence.sample import shop

WHENCE = Path(sys.executable).with_name("whence")
CUSTOMER = "customer-15311"
DEMO_TIMEOUT_SECONDS = 600.0
"""Far more than a slow, loaded machine needs."""


def run_demo(state: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the demonstration to its end on a state folder."""
    state.mkdir(parents=True, exist_ok=True)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WHENCE_")}
    done = subprocess.run(
        [WHENCE, "demo", "--exit", "--state", state, *options],
        cwd=state.parent,
        env={**inherited, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEMO_TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any], str]:
    """The facts of a first and a second run on one state, and the text of a third one on a narrow terminal."""
    state = tmp_path_factory.mktemp("a shop") / "state"
    first, second = (json.loads(run_demo(state, "--json").stdout) for _ in range(2))
    text = run_demo(state, COLUMNS="44", NO_COLOR="1").stdout
    subprocess.run([WHENCE, "reset", "--yes", "--state", state], check=True, capture_output=True)
    return first, second, text


def test_the_first_run_imports_the_whole_shop_and_says_by_how_much_it_moved_the_times(runs: Any) -> None:
    history = runs[0]["history"]
    assert runs[0]["catalogue"]["items"] == 500
    assert (history["purchases"], history["customers"], history["sent"]) == (65_780, 2_419, 65_780)
    assert history["weeks"] > 780
    assert history["events_per_second"] > 0


def test_a_second_run_sends_nothing_and_changes_no_count(runs: Any) -> None:
    first, second, _ = runs
    assert second["history"]["sent"] == 0
    bought = sum(purchase.user_id == CUSTOMER for purchase in shop.purchases())
    assert first["customer"]["events"] == second["customer"]["events"] == bought == 196


def test_a_customers_list_is_led_by_what_they_bought_most_often_and_says_how_often(runs: Any) -> None:
    counts = Counter(one.item_id for one in shop.purchases() if one.user_id == CUSTOMER)
    ((favourite, times),) = counts.most_common(1)
    first = runs[0]["customer"]["lines"][0]
    assert (first["item_id"], times) == (favourite, 12)
    assert f"you bought it {times} times, last on" in first["reason"]


def test_a_new_visitor_has_no_events_and_yet_a_list(runs: Any) -> None:
    for facts in runs[:2]:
        assert facts["visitor"]["before"]["events"] == 0
        assert len(facts["visitor"]["before"]["lines"]) == 8
    assert runs[0]["visitor"]["user_id"] != runs[1]["visitor"]["user_id"]


def test_what_the_visitor_does_changes_their_list_and_the_bought_item_leads_it(runs: Any) -> None:
    for facts in runs[:2]:
        visitor = facts["visitor"]
        bought = visitor["acts"][2]["item_id"]
        assert [act["event_type"] for act in visitor["acts"]] == ["view", "view", "purchase"]
        assert visitor["after"]["events"] == 3
        assert visitor["after"]["lines"][0]["item_id"] == bought
        assert "you bought it on" in visitor["after"]["lines"][0]["reason"]
        assert visitor["moves"][bought] == "new"
        assert all(act["visible_ms"] > 0 for act in visitor["acts"])


def test_the_evidence_behind_the_first_item_sums_to_its_score(runs: Any) -> None:
    first = runs[0]["visitor"]["why"]
    assert first["item_id"] == runs[0]["visitor"]["acts"][2]["item_id"]
    assert sum(part["contribution"] for part in first["parts"]) == pytest.approx(first["score"], abs=1e-9)


def test_the_story_fits_a_narrow_terminal_and_needs_no_colour(runs: Any) -> None:
    text = runs[2]
    assert "\x1b" not in text
    for words in ("Not personal yet", "visible", "curl -s", "Chen, Sain, Guo 2012", "nothing was sent again"):
        assert words in " ".join(text.split())
    assert [line for line in text.splitlines() if len(line) > 44 and "/" not in line] == []
