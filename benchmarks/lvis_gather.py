"""The end of an evaluation on LVIS in two processes: Detectron2's gather against files of ours.

Synthetic predictions, 300 per image of 1203 classes. What is measured is of the first process, from
the last image on: the seconds until there are scores, and the most memory that it has by then.
"""

import argparse
import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from detectron2.data import MetadataCatalog
from detectron2.evaluation import LVISEvaluator
from detectron2.utils import comm

from benchmarks.measure import status_kib
from benchmarks.processes import in_group
from benchmarks.report import dumps, markdown_table
from pointrend_ext.evaluation import InstanceEvaluator

__all__ = ["main", "predictions_of", "write_lvis_file"]

CLASSES, PER_IMAGE, SIZE_HW = 1203, 300, (480, 640)
_OBJECTS, _NEGATIVE, _POOL = 12, 8, 400
_NAME = "benchmark of a gather"


def _masks() -> list[dict[str, Any]]:
    """Draw ellipses of all sizes: run lengths and boxes."""
    rng, found = np.random.default_rng(0), []
    rows, columns = np.ogrid[: SIZE_HW[0], : SIZE_HW[1]]
    for _ in range(_POOL):
        radii = np.exp(rng.uniform(np.log(4), np.log(120), 2))
        y, x = rng.uniform(0, SIZE_HW[0]), rng.uniform(0, SIZE_HW[1])
        mask = ((rows - y) / radii[0]) ** 2 + ((columns - x) / radii[1]) ** 2 < 1
        mask[int(y) - 1 : int(y) + 1, int(x) - 1 : int(x) + 1] = True  # none is empty
        rle = mask_util.encode(np.asfortranarray(mask, dtype=np.uint8))
        box, area = mask_util.toBbox(rle).tolist(), float(mask_util.area(rle))
        segmentation = {"size": list(SIZE_HW), "counts": rle["counts"].decode()}
        found.append({"segmentation": segmentation, "bbox": box, "area": area})
    return found


def _truth_of(image: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes and masks of the objects of an image, and classes that are not in it."""
    rng = np.random.default_rng((1, image))
    number = int(rng.poisson(_OBJECTS))
    drawn = rng.permutation(CLASSES)
    classes = drawn[rng.integers(0, 5, number)]
    return classes, rng.integers(0, _POOL, number), drawn[5 : 5 + _NEGATIVE]


def write_lvis_file(path: Path, images: int) -> None:
    """Write annotations in LVIS's format."""
    masks, listed = _masks(), []
    annotations: list[dict[str, Any]] = []
    for image in range(images):
        classes, shapes, negative = _truth_of(image)
        for k, shape in zip(classes.tolist(), shapes.tolist(), strict=True):
            ids = {"id": len(annotations) + 1, "image_id": image + 1, "category_id": k + 1}
            annotations.append({**ids, **masks[shape]})
        size = {"height": SIZE_HW[0], "width": SIZE_HW[1]}
        rules = {"neg_category_ids": (negative + 1).tolist(), "not_exhaustive_category_ids": []}
        listed.append({"id": image + 1, "file_name": f"{image}.jpg", **size, **rules})
    categories = [
        {"id": k + 1, "name": f"class {k + 1}", "synset": "", "frequency": "rcf"[k % 3]}
        for k in range(CLASSES)
    ]
    content = {"images": listed, "categories": categories, "annotations": annotations}
    path.write_text(dumps(content, depth=0))


def predictions_of(image: int, masks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Draw the predictions for one image: of its classes and of others, a few with a right mask."""
    rng = np.random.default_rng((2, image))
    classes, shapes, negative = _truth_of(image)
    own = rng.permutation(np.concatenate([np.repeat(classes, 3), np.repeat(negative, 2)]))
    labels = np.concatenate([own, rng.integers(0, CLASSES, PER_IMAGE)])[:PER_IMAGE]
    drawn = rng.integers(0, _POOL, PER_IMAGE)
    drawn[: len(classes)], labels[: len(classes)] = shapes, classes
    scores = rng.random(PER_IMAGE)
    return [
        {
            "image_id": image + 1,
            "category_id": int(label),
            "bbox": [*masks[shape]["bbox"]],
            "score": float(score),
            "segmentation": {**masks[shape]["segmentation"]},
        }
        for label, shape, score in zip(labels, drawn.tolist(), scores, strict=True)
    ]


def _own_predictions(images: int) -> Iterator[list[dict[str, Any]]]:
    masks, rank, size = _masks(), comm.get_rank(), comm.get_world_size()
    for image in range(rank * images // size, (rank + 1) * images // size):
        yield predictions_of(image, masks)


def _ours(folder: str, images: int) -> dict[str, float]:
    evaluator = InstanceEvaluator(_NAME, output_dir=folder, lvis_rules=True)
    evaluator.reset()
    for results in _own_predictions(images):
        evaluator.shards.write(evaluator.with_dataset_ids(results))
    return _measured(evaluator.evaluate)


def _upstream(folder: str, images: int) -> dict[str, float]:
    evaluator = LVISEvaluator(_NAME, output_dir=folder, max_dets_per_image=PER_IMAGE)
    evaluator.reset()
    for results in _own_predictions(images):
        evaluator._predictions.append({"image_id": results[0]["image_id"], "instances": results})
    return _measured(evaluator.evaluate)


def _measured(evaluate: Callable[[], Any]) -> dict[str, float]:
    comm.synchronize()
    begin = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        scores = evaluate()
    found = {"s": time.perf_counter() - begin, "MiB": status_kib("VmHWM") / 1024}
    return {**found, **{f"{task} AP": scores[task]["AP"] for task in scores or ()}}


def _evaluate(form: Callable[..., Any], file: str, images: int) -> dict[str, float]:
    tables = {"thing_classes": [f"class {k + 1}" for k in range(CLASSES)]}
    ids = {k + 1: k for k in range(CLASSES)}
    MetadataCatalog.get(_NAME).set(
        evaluator_type="lvis", json_file=file, thing_dataset_id_to_contiguous_id=ids, **tables
    )
    with tempfile.TemporaryDirectory() as folder:
        return form(str(Path(file).parent / "out") if form is _ours else folder, images)


def main(words: Sequence[str] | None = None) -> list[list[str]]:
    """Measure, print the table and return its rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lvis_gather", description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[1000], metavar="N")
    forms = {"ours": _ours, "upstream": _upstream}
    parser.add_argument("--forms", nargs="+", choices=forms, default=[*forms])
    arguments = parser.parse_args(words)
    rows = []
    for images in arguments.images:
        for name in arguments.forms:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder, "annotations.json")
                write_lvis_file(file, images)
                results, _ = in_group(2, partial(_evaluate, forms[name], str(file), images))
            found = max(results, key=len)  # the first process has scores
            aps = ", ".join(f"{k} {v:.6f}" for k, v in found.items() if k.endswith("AP"))
            rows.append([str(images), name, f"{found['s']:.0f}", f"{found['MiB']:.0f}", aps])
            print(rows[-1], flush=True)
    print(markdown_table(["images", "form", "s", "MiB of the first process", "scores"], rows))
    return rows


if __name__ == "__main__":
    main()
