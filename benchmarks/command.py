"""Measuring the cases of a module, and printing them."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any

from benchmarks.case import Case, Forms
from benchmarks.measure import MEMORY_ENVIRONMENT, Timing, time_interleaved, timed
from benchmarks.options import limit_threads, parse, shown
from benchmarks.report import Report, Row, machine
from benchmarks.worker import ROOT, Job, worker

__all__ = ["main"]


def main(module_name: str, words: Sequence[str] | None = None) -> None:
    """Measure the cases of a module, print the table line by line, and write the report.

    Raises:
        AssertionError: results of two forms differ.
        SystemExit: something demanded of a case does not hold.
    """
    words = sys.argv[1:] if words is None else words
    arguments, cases = parse(import_module(module_name), words)
    measure = _measure_before if arguments.before else _measure
    rows = []
    for case in cases:
        for threads in arguments.threads:
            job = partial(Job, module_name, list(words), case.title, threads=threads)
            rows.append(measure(case, threads, arguments, job))
            missed = "" if rows[-1].is_met else "  BELOW WHAT IS DEMANDED"
            print(f"{case.group} {rows[-1].line()}{missed}", flush=True)
    if arguments.output:
        text = f"python -m {module_name.removesuffix('.__main__')} {shown(words)}".strip()
        Report(machine(arguments.device), text, arguments.rounds, rows).write(arguments.output)
    if not all(row.is_met for row in rows):
        raise SystemExit(1)


def _measure(case: Case, threads: int, arguments: argparse.Namespace, job: Any) -> Row:
    """Run all forms in turn in this process, then each alone for its memory."""
    limit_threads(threads)
    forms = case.build(arguments.device)
    if case.own_process:
        clocks = {name: partial(_seconds_alone, job(form=name)) for name in forms.run}
        timings, equality = time_interleaved(clocks, arguments.rounds), forms.check({})
    else:
        timings, equality = _time(forms, arguments)
    parameters = dict(forms.parameters)
    del forms
    peaks = {name: _peak_mib(job(form=name)) for name in timings if case.has_memory}
    row = Row(case.group, case.name, threads, timings, peaks, equality, parameters)
    return replace(row, min_ratio=case.min_ratio, max_mib=case.max_mib)


def _time(forms: Forms, arguments: argparse.Namespace) -> tuple[dict[str, Timing], str]:
    """Return the timings, and how the results of the last round compare."""
    results: dict[str, Any] = {}

    def clock(name: str) -> float:
        results[name] = None  # not two results of one form at a time
        forms.prepare(name)
        seconds, results[name] = timed(forms.run[name], arguments.device)
        return seconds

    clocks = {name: partial(clock, name) for name in forms.run}
    return time_interleaved(clocks, arguments.rounds), forms.check(results)


def _measure_before(case: Case, threads: int, arguments: argparse.Namespace, job: Any) -> Row:
    """Run our form of two checkouts in turn, each in a process of its own."""
    checkouts = {"before": arguments.before.resolve(), "ours": ROOT}
    jobs = {name: job(form="ours", checkout=str(path)) for name, path in checkouts.items()}
    with ExitStack() as stack:
        ask = {name: stack.enter_context(worker(job)) for name, job in jobs.items()}
        clocks = {name: partial(ask[name], "time") for name in jobs}
        timings = time_interleaved(clocks, arguments.rounds)
    peaks = {name: _peak_mib(job) for name, job in jobs.items()}
    return Row(case.group, case.name, threads, timings, peaks, "not compared")


def _seconds_alone(job: Job) -> float:
    with worker(job) as ask:
        return ask("time")


def _peak_mib(job: Job) -> float:
    with worker(job, MEMORY_ENVIRONMENT) as ask:
        return ask("memory")
