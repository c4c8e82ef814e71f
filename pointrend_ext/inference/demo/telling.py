"""A run of the demo, and the lines that it ends with."""

import json
import sys
import time

from pointrend_ext._command import escaped
from pointrend_ext.inference.demo.inputs import Found
from pointrend_ext.inference.demo.run import DemoOptions, run_demo


def run_and_tell(found: Found, options: DemoOptions, *, as_json: bool = False) -> int:
    """Run models on what was found, and print how much was done and what failed.

    Returns:
        The exit code: 1 where something failed.

    Raises:
        ValueError, OSError, ImportError: as of ``run_demo``.
    """
    start = time.perf_counter()
    report = run_demo(found.inputs, options)
    seconds = time.perf_counter() - start
    done = report.num_images + report.num_frames
    failures = [*found.problems, *report.failures]
    output = str(options.writer.folder)
    if as_json:
        numbers = {"images": report.num_images, "frames": report.num_frames, "seconds": seconds}
        record = {**numbers, "output": output, "notes": found.notes, "failures": failures}
        print(json.dumps(record, indent=1))  # noqa: T201  (the command line)
        return int(bool(failures))
    print(  # noqa: T201
        f"{report.num_images} images and {report.num_frames} frames in {seconds:.1f} s "
        f"({done / seconds:.2f} per second), results in {escaped(output)}",
        *found.notes,
        sep="\n",
    )
    if failures:
        print(f"{len(failures)} failed:", *failures, sep="\n  ", file=sys.stderr)  # noqa: T201
    return int(bool(failures))
