"""`whence import items` through a real recommend."""

import json
from typing import Any

from integration.cli.conftest import Service
from program import Program, get


def item(recommend: Service, item_id: str) -> dict[str, Any]:
    status, body = get(f"{recommend.url}/v1/items/{item_id}")
    assert status == 200, body
    found: dict[str, Any] = json.loads(body)
    return found


def test_a_catalogue_arrives_and_may_be_sent_again(recommend: Service, program: Program) -> None:
    rows = [{"item_id": f"i{number}", "title": f"Shoe {number}", "categories": ["shoes"]} for number in range(1_200)]
    path = program.folder / "catalogue.jsonl"
    for title in ("Shoe 7", "New shoe"):
        rows[7]["title"] = title
        path.write_text("\n".join(map(json.dumps, rows)))
        done = program.run("import", "items", "catalogue.jsonl", "--json", **recommend.settings)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert (told["rows"], told["accepted"], told["rejected"]) == (1_200, 1_200, 0)
    assert item(recommend, "i7")["title"] == "New shoe"
    assert item(recommend, "i1199")["categories"] == ["shoes"]


def test_the_cells_of_a_csv_mean_what_an_item_has(recommend: Service, program: Program) -> None:
    (program.folder / "catalogue.csv").write_text(
        "item_id,title,categories,attributes,available\n"
        'i1,Trail shoe,shoes|outdoor,"{""colour"": ""red""}",no\n'
        "i2,,shoes,,maybe\n"
        "i3,Boot,,,\n"
    )
    done = program.run("import", "items", "catalogue.csv", **recommend.settings)
    assert done.returncode == 1
    assert "3 rows: 2 accepted, 1 rejected" in done.stdout
    assert "row 2: title" in done.stderr
    assert "row 2: available" in done.stderr
    found = item(recommend, "i1")
    assert (found["categories"], found["attributes"]) == (["shoes", "outdoor"], {"colour": "red"})
    assert found["available"] is False
    assert item(recommend, "i3")["available"] is True


def test_nobody_to_talk_to_says_how_to_start_it(program: Program) -> None:
    (program.folder / "a.jsonl").write_text("")
    done = program.run("import", "items", "a.jsonl")
    assert done.returncode == 3
    assert "whence up" in done.stderr
