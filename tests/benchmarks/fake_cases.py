"""Cases that take next to no time, run by whichever ``pointrend_ext`` a process imports."""

import time

import pointrend_ext
from benchmarks.case import Case, Forms

MIB = 2**20


def build(_device):
    prepared = []
    speed = getattr(pointrend_ext, "SPEED", 1)  # of a pretended checkout

    def upstream():
        time.sleep(0.12)
        return b"x" * 40 * MIB, list(prepared)

    def ours():
        time.sleep(0.04 / speed)
        return b"x" * 10 * MIB, list(prepared)

    def check(results):
        assert len(results["ours"][0]) == 10 * MIB
        return f"{len(results['upstream'][1])} runs were prepared"

    return Forms({"upstream": upstream, "ours": ours}, check, prepared.append, {"ours": 7})


def build_alone(_device):
    def run():
        raise AssertionError("not in this process")

    return Forms({"upstream": run, "ours": run}, lambda results: f"{len(results)} results")


def add_arguments(parser):
    parser.add_argument("--demand", type=float)


def cases(arguments):
    return [
        Case("Fake", "sleep", build, min_ratio=arguments.demand, max_mib=20),
        Case("Fake", "another", build, warm_memory=False),
        Case("Fake", "alone", build_alone, own_process=True),
    ]
