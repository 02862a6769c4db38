"""`whence rebuild` by the real program, beside real services."""

import json
import re
from contextlib import closing
from typing import Any

from conftest import Installation
from integration.aggregate.support import Shop, event
from integration.cli.conftest import Service
from integration.service import free_port
from program import Program, get, until


def test_services_go_on_while_scores_are_made_anew(
    program: Program, installation: Installation, recommend: Service
) -> None:
    with closing(Shop(installation)) as shop:
        shop.append(*(event(f"u{n % 40}", f"i{n % 17}", str(n)) for n in range(2_000)))
        program.start("serve", "aggregate", "--port", str(free_port()), **installation.settings)
        assert until(lambda: sum(shop.books()) == 2_000)

        def answered() -> Any:
            status, body = get(f"{recommend.url}/v1/users/u7/recommendations?limit=18")
            assert status == 200
            return [item["item_id"] for item in json.loads(body)["items"]]

        listed, counted = answered(), shop.counts()
        shop.connection.execute("UPDATE signal SET count = 99 WHERE item_id = 1")
        looked = program.run("rebuild", "--dry-run", **installation.settings)
        assert looked.returncode == 1, looked.stderr
        assert "MB of disk" in looked.stderr
        assert "nothing was changed" in looked.stdout
        rows = shop.value("SELECT count(*) FROM signal WHERE item_id = 1")
        assert re.search(rf"^signal +{rows}$", looked.stdout, re.MULTILINE)
        assert "signal: serving {" in looked.stdout

        running = program.start("rebuild", "--json", **installation.settings)
        while running.poll() is None:
            assert len(answered()) == len(listed)
        said, complained = running.communicate()
        assert running.returncode == 0, complained
        done = json.loads(said)
        assert done["swapped"]
        assert done["tables"]["signal"]["rows"] == rows
        assert (done["records"], sum(done["offsets"].values())) == (2_000, 2_000)
        assert shop.counts() == counted
        shop.append(event("u7", "fresh", "later"))
        assert until(lambda: "fresh" in answered())
        again = program.run("rebuild", "--dry-run", "--json", **installation.settings)
        assert again.returncode == 0, again.stdout


def test_what_is_wrong_is_said(program: Program, installation: Installation) -> None:
    shop = Shop(installation)
    shop.connection.execute("SELECT pg_advisory_lock(hashtextextended('whence rebuild ' || current_schema(), 0))")
    second = program.run("rebuild", **installation.settings)
    assert second.returncode == 3
    assert "another rebuild is under way" in second.stderr
    shop.close()
    nothing = program.run("rebuild", **installation.settings)
    assert nothing.returncode == 0
    assert "nothing was ever aggregated" in nothing.stderr
    nowhere = program.run("rebuild")
    assert nowhere.returncode == 3
    assert "whence up" in nowhere.stderr
