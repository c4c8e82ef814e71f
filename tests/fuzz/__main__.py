"""Mutate a small project many times: ``python -m tests.fuzz``.

One mutation again: ``python -m tests.fuzz --kind annotations --seed 17 -v``.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path

import torch

from tests.fuzz.kinds import KINDS
from tests.fuzz.outcome import Fuzzer
from tests.fuzz.page import counted, write


def main() -> int:
    """Run the mutations; 1 if one of them failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    add = parser.add_argument
    add("--kind", choices=KINDS, action="append", help="only these kinds")
    add("--count", type=int, help="mutations of each kind (default: each mutator once)")
    add("--step", type=int, default=1, help="from seed to seed (%(default)s)")
    add("--seed", type=int, help="this seed alone")
    add("--keep", type=Path, help="folder to work in, which is kept")
    add("--json", type=Path, help="write all outcomes there")
    add("--write", action="store_true", help="write docs/data/fuzz.json and docs/reliability.md")
    add("-v", "--verbose", action="store_true", help="print good outcomes and notices, too")
    args = parser.parse_args()
    torch.set_num_threads(1)  # processes are forked
    outcomes, begin = [], time.monotonic()
    with contextlib.ExitStack() as stack:
        folder = args.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        fuzzer = Fuzzer(folder)
        for name in args.kind or KINDS:
            number = args.count or len(KINDS[name].mutators)
            seeds = range(0, number * args.step, args.step) if args.seed is None else [args.seed]
            for seed in (-1, *seeds):
                outcome = fuzzer.run(name, seed) if seed >= 0 else fuzzer.again(name)
                outcomes.append(outcome)
                if outcome.is_bad or args.verbose:
                    print(outcome.text(notices=args.verbose), flush=True)
    bad = sum(outcome.is_bad for outcome in outcomes)
    seconds = time.monotonic() - begin
    print(f"{len(outcomes)} mutations, {bad} failures, {seconds:.0f} s")
    if args.json:
        args.json.write_text(json.dumps([vars(outcome) for outcome in outcomes], indent=1))
    if args.write:
        write(counted(outcomes))
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
