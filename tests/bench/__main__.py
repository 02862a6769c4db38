"""`python -m bench [WHAT …]`: the named benchmarks, or all; each a table on stderr and a line of JSON on stdout."""

import argparse
import importlib

from bench.report import Bench, report

BENCHES = ("embedded", "retrieval")
"""Each name is a module of this package with a function `measure() -> Figures`."""


def main() -> None:
    """Run the named benchmarks one after the other."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("what", nargs="*", metavar="WHAT", help=", ".join(BENCHES))
    wanted = parser.parse_args().what or BENCHES
    if unknown := [name for name in wanted if name not in BENCHES]:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are: {', '.join(BENCHES)}")
    for name in wanted:
        module: Bench = importlib.import_module(f"bench.{name}")
        report(name, module.measure())


if __name__ == "__main__":
    main()
