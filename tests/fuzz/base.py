"""The small project that is mutated: instances, label maps, predictions, descriptions, configs."""

import json
from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from pycocotools import mask as mask_util

from tests.tiny_models import WIDTHS

ROOT = Path(__file__).resolve().parents[2]
WIDTH, HEIGHT = 64, 48
SPLITS = {"train": [11, 12, 13, 14], "val": [51, 52]}
"""Ids of the images."""
CATEGORIES = {3: "disc", 5: "box", 9: "tri"}
NUM_LABELS, IGNORED = 3, 255
COLORS = [[0, 0, 0], [200, 0, 0], [0, 0, 200]]
"""Of the labels."""


def build_project(folder: Path) -> None:
    """Write everything; nothing is random."""
    for split, ids in SPLITS.items():
        content = _annotations(split, ids)
        _write(folder / f"{split}.json", json.dumps(content))
        for entry in content["images"]:
            grey = np.random.default_rng(entry["id"]).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
            labels = _labels(entry["id"] % 7)
            found = np.roll(np.where(labels == IGNORED, 0, labels), 2, axis=1)
            pictures = {split: np.stack([grey] * 3, -1), f"{split}_labels": labels}
            if split == "val":
                pictures["predicted"] = found
            for name, picture in pictures.items():
                (folder / name).mkdir(exist_ok=True)
                Image.fromarray(picture).save(folder / name / entry["file_name"])
    _write(folder / "predictions.json", json.dumps(_predictions(content["annotations"])))
    for task in ("instance", "semantic"):
        for name, settings in _settings(task).items():
            _write(folder / f"{name}.yaml", yaml.safe_dump(settings, sort_keys=False))


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def decode(segmentation: list | dict) -> np.ndarray:
    """Return the (H, W) mask of polygons or run lengths that are right."""
    if isinstance(segmentation, list) or isinstance(segmentation["counts"], list):
        segmentation = mask_util.frPyObjects(segmentation, HEIGHT, WIDTH)
    if isinstance(segmentation, list):
        segmentation = mask_util.merge(segmentation)
    return mask_util.decode(segmentation)


def runs_of(mask: np.ndarray, order: str = "F") -> list[int]:
    """Return the run lengths of a mask, of columns (F) or of rows (C)."""
    flat = np.concatenate([[0], mask.reshape(-1, order=order), [2]])
    return np.diff(np.flatnonzero(np.diff(flat)), prepend=0).tolist()


def _coded(mask: np.ndarray) -> dict:
    coded = mask_util.encode(np.asfortranarray(mask))
    return {"size": coded["size"], "counts": coded["counts"].decode()}


def _rectangle(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[y0:y1, x0:x1] = 1
    return mask


def _labels(x: int) -> np.ndarray:
    one, two = _rectangle(x + 5, 10, x + 30, 30), _rectangle(35, 25, 60, 40)
    labels = np.where(two, 2, one).astype(np.uint8)
    labels[:3] = IGNORED
    return labels


def _annotations(split: str, ids: list[int]) -> dict:
    sizes = {"width": WIDTH, "height": HEIGHT}
    images = [{"id": k, "file_name": f"{split}_{k}.png", **sizes} for k in ids]
    entries = [entry for k in ids for entry in _objects(k)]
    if split == "train":
        crowd = {"size": [HEIGHT, WIDTH], "counts": runs_of(_rectangle(40, 2, 60, 8))}
        entries.append({**_entry(ids[0], 5, crowd), "iscrowd": 1})
    categories = [{"id": k, "name": name} for k, name in CATEGORIES.items()]
    numbered = [{"id": 101 + n, **entry} for n, entry in enumerate(entries)]
    return {"images": images, "categories": categories, "annotations": numbered}


def _objects(image: int) -> list[dict]:
    """Return a rectangle, a triangle, an ellipse as runs, and a rectangle as a coded text."""
    x, y = 3 + image % 5, 4 + image % 3
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    ellipse = ((columns - 48) / 10) ** 2 + ((rows - y - 16) / 7) ** 2 <= 1
    runs = {"size": [HEIGHT, WIDTH], "counts": runs_of(ellipse)}
    return [
        _entry(image, 5, [[x, y, x + 20, y, x + 20, y + 9, x, y + 9]]),
        _entry(image, 9, [[x + 1.5, y + 28, x + 12.5, y + 12, x + 25, y + 28.5]]),
        _entry(image, 3, runs),
        _entry(image, 5, _coded(_rectangle(x + 4, y + 30, x + 50, y + 38))),
    ]


def _entry(image: int, category: int, segmentation: list | dict) -> dict:
    mask = decode(segmentation)
    if isinstance(segmentation, list):
        x, y = segmentation[0][::2], segmentation[0][1::2]
        box = [min(x), min(y), max(x) - min(x), max(y) - min(y)]
    else:
        box = mask_util.toBbox(_coded(mask)).tolist()
    shape = {"bbox": box, "area": float(mask.sum()), "segmentation": segmentation}
    return {"image_id": image, "category_id": category, "iscrowd": 0, **shape}


def _predictions(truth: list[dict]) -> list[dict]:
    """Return the true objects moved by a pixel, of falling scores, and two that are none."""
    moved = [(np.roll(decode(e["segmentation"]), n % 3, axis=1), e) for n, e in enumerate(truth)]
    found = [
        (entry["image_id"], 3 if n == 4 else entry["category_id"], mask, 0.95 - 0.07 * n)
        for n, (mask, entry) in enumerate(moved)
    ]
    wrong = _rectangle(30, 20, 36, 26)
    return [
        {
            "image_id": image,
            "category_id": category,
            "bbox": mask_util.toBbox(_coded(mask)).tolist(),
            "segmentation": _coded(mask),
            "score": round(score, 2),
        }
        for image, category, mask, score in [*found, (51, 9, wrong, 0.97), (52, 5, wrong, 0.3)]
    ]


def _settings(task: str) -> dict[str, dict]:
    """Return the description and the configurations of a task, by file name."""
    is_instance = task == "instance"
    key, ending = ("annotations", ".json") if is_instance else ("labels", "_labels")
    splits = {split: {"images": split, key: f"{split}{ending}"} for split in SPLITS}
    names = {"name": "fuzz", "task": task, "root": ".", "classes": [*CATEGORIES.values()]}
    values = {"ignore_value": IGNORED, "colors": COLORS}
    model: dict[str, dict] = {"WEIGHTS": "", "DEVICE": "cpu"}
    for key, value in zip(WIDTHS[::2], WIDTHS[1::2], strict=True):
        _, node, leaf = key.split(".")
        if is_instance or node in ("RESNETS", "FPN"):
            model.setdefault(node, {})[leaf] = value
    if is_instance:
        model["ROI_HEADS"] = {"NUM_CLASSES": len(CATEGORIES), "SCORE_THRESH_TEST": 0.05}
        points = {"TRAIN_NUM_POINTS": 49, "OVERSAMPLE_RATIO": 4, "IMPORTANCE_SAMPLE_RATIO": 0.75}
        model["MASK_POINT_HEAD"].update(points, SUBDIVISION_STEPS=3, IN_FEATURES=["p2"])
    else:
        model["SEM_SEG_HEAD"] = {"NUM_CLASSES": NUM_LABELS, "IGNORE_VALUE": IGNORED}
    shipped = ROOT / f"configs/Toy/pointrend_{'rcnn' if is_instance else 'semantic'}_toy.yaml"
    sets = {"DESCRIPTIONS": [f"{task}.yaml"], "TRAIN": ["fuzz_train"], "TEST": ["fuzz_val"]}
    sizes = {"MIN_SIZE_TRAIN": [HEIGHT], "MIN_SIZE_TEST": HEIGHT}  # no change of size
    steps = {"MAX_ITER": 40, "WARMUP_ITERS": 10, "CHECKPOINT_PERIOD": 20}
    training = {
        "_BASE_": f"base_{task}.yaml",
        "MODEL": model,
        "DATASETS": sets,
        "INPUT": {**sizes, "RANDOM_FLIP": "none", "CROP": {"ENABLED": False}},
        "SOLVER": {"IMS_PER_BATCH": 2, "BASE_LR": 0.01, **steps},
        "TEST": {"EVAL_PERIOD": 20},
        "DATALOADER": {"NUM_WORKERS": 0},
        "OUTPUT_DIR": "output",
        "SEED": 1,
    }
    description = {**names, **({} if is_instance else values), "splits": splits}
    return {task: description, f"base_{task}": {"_BASE_": str(shipped)}, f"train_{task}": training}
