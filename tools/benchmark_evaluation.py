#!/usr/bin/env python3
"""Measure time and memory of our COCO evaluator against Detectron2's, on the same predictions.

Example: python tools/benchmark_evaluation.py --output docs/benchmarks/evaluation \
--annotations instances_val2017.json --predictions coco_instances_results.json
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import torch
from benchmarking.measure import MEASURING_ENVIRONMENT, peak_extra_mib, time_interleaved
from benchmarking_evaluation.evaluations import FORMS, EvaluationCase, compare_results
from benchmarking_evaluation.report import described_machine, write_results
from benchmarking_evaluation.synthetic import SyntheticSpec, write_synthetic_data


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add, usual = parser.add_argument, SyntheticSpec()
    add("--annotations", type=Path, help="annotations in COCO's format: one more case")
    add("--predictions", type=Path, help="its predictions in COCO's results format, with masks")
    add("--images", type=int, default=usual.images, help="synthetic images, 0 for none")
    add("--size", type=int, nargs=2, default=usual.size_hw, metavar=("H", "W"), help="of those")
    add("--classes", type=int, default=usual.classes, help="synthetic classes")
    add("--objects", type=float, default=usual.objects, help="synthetic objects per image, mean")
    add("--per-image", type=float, default=usual.predictions, help="their predictions per image")
    add("--seed", type=int, default=usual.seed, help="of the synthetic data")
    add("--rounds", type=int, default=5, help="measured rounds; one more does not count")
    add("--threads", type=int, default=1, help="cores that the process may use")
    add("--memory-of", metavar="FORM", help=argparse.SUPPRESS)
    add("--output", type=Path, help="folder for results.json and results.md")
    arguments = parser.parse_args()
    if (arguments.annotations is None) != (arguments.predictions is None):
        parser.error("--annotations and --predictions go together")
    if arguments.annotations is None and not arguments.images:
        parser.error("nothing to measure: give --annotations and --predictions, or --images")
    return arguments


def limit_cores(count: int) -> None:
    """Leave this process, and those it starts, so many cores."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
    torch.set_num_threads(count)
    cv2.setNumThreads(count)


def files_of_cases(arguments: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Path, Path]]:
    """Yield name, annotations and predictions of each case; synthetic ones are written."""
    if arguments.annotations is not None:
        yield arguments.annotations.stem, arguments.annotations, arguments.predictions
    if arguments.images:
        spec = SyntheticSpec(
            arguments.images,
            tuple(arguments.size),
            arguments.classes,
            arguments.objects,
            arguments.per_image,
            arguments.seed,
        )
        height, width = spec.size_hw
        yield f"synthetic, {width}x{height}", *write_synthetic_data(folder, spec)


def measure(name: str, annotations: Path, predictions: Path, rounds: int) -> dict[str, Any]:
    """Run one case: a row of the report."""
    case = EvaluationCase(name, annotations, predictions)
    timings, results = time_interleaved(case.forms(), rounds=rounds, device="cpu")
    return {
        "case": name,
        "counts": case.counts,
        "backend": case.backend(),
        "seconds": {form: asdict(timings[form]) for form in FORMS},
        "ratio": timings["detectron2"].median / timings["ours"].median,
        "peak_mib": {form: peak_in_new_process(form, annotations, predictions) for form in FORMS},
        "equality": compare_results(results),
    }


def peak_in_new_process(form: str, annotations: Path, predictions: Path) -> float:
    """Measure the extra memory of one evaluation alone: MiB."""
    files = ["--annotations", str(annotations), "--predictions", str(predictions)]
    done = subprocess.run(
        [sys.executable, __file__, *files, "--memory-of", form],
        env={**os.environ, **MEASURING_ENVIRONMENT},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def peak(form: str, annotations: Path, predictions: Path) -> float:
    """Return the extra memory of one evaluation in this process: MiB."""
    case = EvaluationCase("memory", annotations, predictions)
    case.prepare(form)
    return peak_extra_mib(case.evaluate, "cpu")


def main() -> None:
    """Measure, print, and write the report."""
    arguments = parse_arguments()
    if arguments.memory_of:
        print(peak(arguments.memory_of, arguments.annotations, arguments.predictions))
        return
    limit_cores(arguments.threads)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, annotations, predictions in files_of_cases(arguments, Path(folder)):
            row = measure(name, annotations, predictions, arguments.rounds)
            rows.append(row)
            seconds = ", ".join(f"{form} {x['median']:.2f}" for form, x in row["seconds"].items())
            mib = ", ".join(f"{form} {value:.0f}" for form, value in row["peak_mib"].items())
            print(f"{name}: {row['ratio']:.2f}x; s {seconds}; MiB {mib}; {row['equality']}")
    if arguments.output:
        words = [x if x.startswith("docs") else Path(x).name if "/" in x else x for x in sys.argv]
        command = f"python tools/benchmark_evaluation.py {shlex.join(words[1:])}".strip()
        write_results(
            arguments.output,
            {
                "machine": described_machine(),
                "command": command,
                "threads": arguments.threads,
                "rounds": arguments.rounds,
                "backend": rows[0]["backend"],
                "rows": rows,
            },
        )


if __name__ == "__main__":
    main()
