"""`python -m bench [WHAT …] [--size SIZE]`: named benchmarks, or all; a table on stderr, a line of JSON on stdout."""

import argparse
import importlib

from bench.report import FULL, SIZES, Bench, report

BENCHES = ("embedded", "ingest", "aggregate", "freshness", "scale", "retrieval", "rebuild", "storage")
"""Each name is a module of this package with a function `measure(size) -> Figures`."""


def main() -> None:
    """Run the named benchmarks one after the other."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("what", nargs="*", metavar="WHAT", help=", ".join(BENCHES))
    parser.add_argument("--size", choices=SIZES, default=FULL, help="small: seconds, shows only that it works")
    chosen = parser.parse_args()
    wanted = chosen.what or BENCHES
    if unknown := [name for name in wanted if name not in BENCHES]:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are: {', '.join(BENCHES)}")
    for name in wanted:
        module: Bench = importlib.import_module(f"bench.{name}")
        report(name, module.measure(chosen.size))


if __name__ == "__main__":
    main()
