"""`python -m bench [WHAT …]`: the named benchmarks, or all; each a table on stderr and a line of JSON on stdout."""

import argparse
import importlib

from bench.report import Bench, report

BENCHES = ("embedded",)
"""Each name is a module of this package with a function `measure() -> Figures`."""


def main() -> None:
    """Run the named benchmarks one after the other."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("what", nargs="*", choices=[[], *BENCHES], metavar="WHAT", help=", ".join(BENCHES))
    for name in parser.parse_args().what or BENCHES:
        module: Bench = importlib.import_module(f"bench.{name}")
        report(name, module.measure())


if __name__ == "__main__":
    main()
