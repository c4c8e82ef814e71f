#!/usr/bin/env python3
"""Measure time and memory against Detectron2's own PointRend, on equal weights, in one process.

Example: python tools/benchmark.py --threads 1 2 --output docs/benchmarks/cpu
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from benchmarking.case import Case
from benchmarking.instance_cases import INSTANCE_CASES
from benchmarking.measure import MEASURING_ENVIRONMENT, peak_extra_mib, time_interleaved
from benchmarking.model_cases import model_cases
from benchmarking.report import machine, write_report
from benchmarking.semantic_cases import SEMANTIC_CASES
from benchmarking.trained_cases import trained_cases
from benchmarking.training_cases import TRAINING_CASES


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="CPU threads, in turn")
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds per case")
    parser.add_argument("--only", default="", help="regular expression on 'group: case'")
    parser.add_argument("--image", default="", help="photograph for the whole models")
    parser.add_argument(
        "--trained",
        nargs=2,
        metavar=("CONFIG", "WEIGHTS"),
        help="a trained semantic PointRend model: its head on --image, instead of all other cases",
    )
    parser.add_argument("--short-edge", type=int, default=1024, help="of --image for --trained")
    parser.add_argument("--memory-of", nargs=2, metavar=("CASE", "FORM"), help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="folder for results.json, .md and speed.png")
    return parser.parse_args()


def all_cases(arguments: argparse.Namespace) -> list[Case]:
    """Return what the command line asks for, but for ``--only``."""
    if arguments.trained:
        return trained_cases(*arguments.trained, arguments.image, arguments.short_edge)
    return [*INSTANCE_CASES, *SEMANTIC_CASES, *TRAINING_CASES, *model_cases(arguments.image)]


def measure(case: Case, threads: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run one case: a row of the report."""
    torch.set_num_threads(threads)
    forms = case.build(arguments.device)
    timings, results = time_interleaved(forms.run, rounds=arguments.rounds, device=arguments.device)
    equality = forms.check(results)
    results.clear()
    ratio = timings[case.baseline].median / timings["ours"].median if len(timings) > 1 else None
    return {
        "group": case.group,
        "case": case.name,
        "threads": threads,
        "seconds": {name: asdict(timing) for name, timing in timings.items()},
        "ratio": ratio,
        "min_ratio": case.min_ratio,
        "peak_mib": {name: peak_in_new_process(case, name, arguments) for name in forms.run},
        "max_mib": case.max_mib,
        "equality": equality,
    }


def peak_in_new_process(case: Case, form: str, arguments: argparse.Namespace) -> float:
    """Measure the extra memory of one form alone: MiB."""
    options = ["--device", arguments.device, "--image", arguments.image]
    if arguments.trained:
        options += ["--trained", *arguments.trained, "--short-edge", str(arguments.short_edge)]
    done = subprocess.run(
        [sys.executable, __file__, *options, "--memory-of", title(case), form],
        env={**os.environ, **MEASURING_ENVIRONMENT},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def print_peak(case: Case, form: str, device: str) -> None:
    """Run one form twice, and print what the second run needed."""
    run = case.build(device).run[form]
    run()
    print(peak_extra_mib(run, device))


def title(case: Case) -> str:
    """Return how a case is called on the command line."""
    return f"{case.group}: {case.name}"


def is_met(row: dict[str, Any]) -> bool:
    """Tell whether what is demanded of a case holds."""
    is_fast = not row["min_ratio"] or row["ratio"] >= row["min_ratio"]
    return is_fast and (not row["max_mib"] or row["peak_mib"]["ours"] <= row["max_mib"])


def main() -> None:
    """Measure, print, and write the report."""
    arguments = parse_arguments()
    cases = all_cases(arguments)
    if arguments.memory_of:
        name, form = arguments.memory_of
        print_peak(next(case for case in cases if title(case) == name), form, arguments.device)
        return
    cases = [case for case in cases if re.search(arguments.only, title(case))]
    rows = []
    for case in cases:
        for threads in arguments.threads:
            row = measure(case, threads, arguments)
            rows.append(row)
            ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}x, "
            mib = ", ".join(f"{name} {value:.0f}" for name, value in row["peak_mib"].items())
            verdict = "" if is_met(row) else "  BELOW WHAT IS DEMANDED"
            print(f"{title(case)}, {threads} threads: {ratio}MiB {mib}; ", end="")
            print(f"{row['equality']}{verdict}", flush=True)
    if arguments.output:
        # no path of this machine
        words = [x if x.startswith(("docs/", "configs/")) else Path(x).name for x in sys.argv[1:]]
        command = f"python tools/benchmark.py {shlex.join(words)}".strip()
        about = {"machine": machine(arguments.device), "command": command}
        write_report(arguments.output, {**about, "rounds": arguments.rounds, "rows": rows})
    if not all(map(is_met, rows)):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
