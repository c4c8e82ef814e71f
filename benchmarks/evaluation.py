"""Our COCO evaluator against Detectron2's, on the same predictions."""

import argparse
import atexit
import contextlib
import gc
import io
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import MetadataCatalog
from detectron2.evaluation import COCOEvaluator

from benchmarks.case import Case, Forms
from benchmarks.command import main
from benchmarks.synthetic import SyntheticSpec, write_synthetic_data
from pointrend_ext.evaluation import InstanceEvaluator

__all__ = ["Evaluation", "add_arguments", "cases", "compare_results"]

BOUNDARY = "with Boundary AP"
TASKS = ("bbox", "segm")
FORMS: dict[str, Callable[[str], COCOEvaluator]] = {
    "upstream": lambda name: COCOEvaluator(name, TASKS, distributed=False),
    "ours": lambda name: InstanceEvaluator(name, TASKS, distributed=False),
    BOUNDARY: lambda name: InstanceEvaluator(name, TASKS, distributed=False, boundary_ap=True),
}
TOLERANCE = 1e-6  # of an AP in per cent
CORES = sorted(os.sched_getaffinity(0))


class Evaluation:
    """Annotations and predictions in COCO's formats, and what is timed on them.

    ``evaluate()`` is timed. Before every call the evaluator is built anew and given a copy of the
    predictions in the form in which ``process()`` leaves them, in memory or in a file that is read
    again: Detectron2's evaluator changes what it works on (class ids of predictions, polygons of
    annotations), so that a second call on the same objects would do less, or fail.
    """

    def __init__(self, annotations: Path, predictions: Path) -> None:
        truth, results = json.loads(annotations.read_text()), json.loads(predictions.read_text())
        classes = {x["id"]: x["name"] for x in sorted(truth["categories"], key=lambda x: x["id"])}
        contiguous = {k: number for number, k in enumerate(classes)}
        by_image: dict[Any, list[dict[str, Any]]] = {x["id"]: [] for x in truth["images"]}
        for result in results:
            own = {**result, "category_id": contiguous[result["category_id"]]}
            by_image[result["image_id"]].append(own)
        self._predictions = list(by_image.items())
        num_objects = len(truth["annotations"])
        self.counts = f"{len(by_image)} images, {num_objects} objects, {len(results)} predictions"
        self._data_set = f"benchmark: {annotations}"
        MetadataCatalog.get(self._data_set).set(
            json_file=str(annotations),
            thing_classes=list(classes.values()),
            thing_dataset_id_to_contiguous_id=contiguous,
        )
        self._evaluator: COCOEvaluator | None = None
        del truth, results
        gc.collect()
        atexit.register(gc.unfreeze)  # or what is torn down at the end complains
        gc.freeze()  # the predictions are no work for the garbage collector while it is timed

    def prepare(self, form: str) -> COCOEvaluator:
        """Build a form's evaluator, in place of the last one, and hand it the predictions."""
        self._evaluator = None
        gc.collect()
        self._evaluator = FORMS[form](self._data_set)
        self._evaluator.reset()
        if isinstance(self._evaluator, InstanceEvaluator):  # predictions go through a file
            for _, results in self._predictions:
                self._evaluator.shards.write(self._evaluator.with_dataset_ids(results))
        else:
            self._evaluator._predictions = [
                {"image_id": image_id, "instances": [dict(result) for result in results]}
                for image_id, results in self._predictions
            ]
        return self._evaluator

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Evaluate what was prepared."""
        assert self._evaluator is not None
        with contextlib.redirect_stdout(io.StringIO()):
            return self._evaluator.evaluate()

    def check(self, results: Mapping[str, Any]) -> str:
        """Compare what was found, and say on what and by what."""
        compiled = self.prepare("upstream")._use_fast_impl
        backend = "compiled COCOeval_opt" if compiled else "pycocotools, no compiled COCOeval_opt"
        return f"{self.counts}; {compare_results(results)}; Detectron2's uses {backend}"


def compare_results(results: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Check that all forms found the same AP, and Boundary AP none above it; return a sentence."""
    keys = [(task, metric) for task, scores in results["upstream"].items() for metric in scores]
    values = {form: np.array([x[task][m] for task, m in keys]) for form, x in results.items()}
    theirs = values["upstream"]
    for form in ("ours", BOUNDARY):
        is_equal = np.isclose(values[form], theirs, rtol=0, atol=TOLERANCE, equal_nan=True)
        wrong = [", ".join(key) for key, equal in zip(keys, is_equal, strict=True) if not equal]
        assert not wrong, f"{form} has another AP than Detectron2: {'; '.join(wrong)}"
    differences = np.abs(values["ours"] - theirs)[np.isfinite(theirs)]
    mask, boundary = (results[BOUNDARY][task]["AP"] for task in ("segm", "boundary"))
    assert 0 <= boundary <= mask, f"Boundary AP is {boundary}, mask AP {mask}"
    return (
        f"{len(differences)} AP differ by at most {differences.max():.0e}; box "
        f"{results['upstream']['bbox']['AP']:.2f}, mask {mask:.2f}, boundary {boundary:.2f}"
    )


def _build(_device: str, *, files: Callable[[Path], tuple[Path, Path]]) -> Forms:
    # Evaluators have threads of their own.
    os.sched_setaffinity(0, CORES[: torch.get_num_threads()])
    folder = tempfile.TemporaryDirectory()  # goes with the forms
    evaluation = Evaluation(*files(Path(folder.name)))
    run = dict.fromkeys(FORMS, evaluation.evaluate)
    return Forms(run, evaluation.check, evaluation.prepare, keep=folder)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for files and synthetic data."""
    add = parser.add_argument
    add("--annotations", type=Path, help="annotations in COCO's format: one more case")
    add("--predictions", type=Path, help="its predictions in COCO's results format, with masks")
    for name, default in asdict(SyntheticSpec()).items():
        option = f"--{name.replace('_', '-')}"
        add(option, type=type(default), default=default, help="of synthetic data (%(default)s)")


def cases(arguments: argparse.Namespace) -> list[Case]:
    """Return the case of the given files, and that of synthetic data."""
    files: dict[str, Callable[[Path], tuple[Path, Path]]] = {}
    given = arguments.annotations, arguments.predictions
    if None not in given:
        files[given[0].stem] = lambda folder: given
    if arguments.images:
        spec = SyntheticSpec(**{name: getattr(arguments, name) for name in asdict(SyntheticSpec())})
        files[f"synthetic, {spec.width}x{spec.height}"] = partial(write_synthetic_data, spec=spec)
    return [
        Case("COCO evaluation", name, partial(_build, files=make), warm_memory=False)
        for name, make in files.items()
    ]


if __name__ == "__main__":
    main("benchmarks.evaluation")
