"""An annotation file as large as COCO's, drawn from a seed, with a picture file for each image."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["COCO_IMAGES", "write_annotation_file", "write_pictures"]

COCO_IMAGES = 118_000
_OBJECTS_PER_IMAGE = 7.3
_SHARE_CROWD, _SHARE_TWO_PARTS = 0.012, 0.08
_POINTS = 25, 0.65  # per polygon: the median, and the spread of its logarithm
_CLASSES = 80
_HEIGHT, _WIDTH = 480, 640
_LINKS = 20_000  # to one file; file systems have a limit


def write_annotation_file(path: Path, images: int, seed: int = 0) -> None:
    """Write annotations in COCO's format: polygons, and crowds of uncompressed run lengths.

    Numbers per image, points per polygon and shares are about COCO's; coordinates have two
    decimals; classes have ids from 1 to 90 with gaps.

    Args:
        path: the file, which is there only once it is whole.
        images: how many; 118,000 have about 860,000 objects in 450 MB.
        seed: of all that is drawn.
    """
    rng = np.random.default_rng(seed)
    class_ids = np.sort(rng.choice(np.arange(1, 91), _CLASSES, replace=False))
    categories = [{"id": int(k), "name": f"class {k}"} for k in class_ids]
    listed = [
        {"id": i + 1, "file_name": _name(i), "height": _HEIGHT, "width": _WIDTH}
        for i in range(images)
    ]
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        file.write(b'{"images": ' + _json(listed))
        file.write(b', "categories": ' + _json(categories) + b', "annotations": [')
        for number, annotation in enumerate(_annotations(rng, images, class_ids.tolist()), start=1):
            separator = b"" if number == 1 else b", "
            file.write(separator + _json({"id": number, **annotation}))
        file.write(b"]}")
    part.replace(path)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def write_pictures(folder: Path, images: int) -> None:
    """Write the pictures of a file, hard links to a few."""
    folder.mkdir()
    picture = Image.new("RGB", (_WIDTH, _HEIGHT), (120, 90, 60))
    for i in range(images):
        if i % _LINKS:
            os.link(folder / _name(i - i % _LINKS), folder / _name(i))
        else:
            picture.save(folder / _name(i))


def _name(index: int) -> str:
    return f"{index + 1:012d}.jpg"


def _annotations(
    rng: np.random.Generator, images: int, class_ids: list[int]
) -> Iterator[dict[str, Any]]:
    shapes = [_outline(rng) for _ in range(500)]
    for image_id in range(1, images + 1):
        for _ in range(rng.poisson(_OBJECTS_PER_IMAGE)):
            is_crowd = rng.random() < _SHARE_CROWD
            found = _crowd(rng) if is_crowd else _object(rng, shapes)
            class_id = class_ids[int(rng.integers(len(class_ids)))]
            common = {"image_id": image_id, "category_id": class_id, "iscrowd": int(is_crowd)}
            yield {**common, **found}


def _outline(rng: np.random.Generator) -> np.ndarray:
    """Draw a blob around the origin, about 1 large: (K, 2) corners."""
    number = int(np.clip(rng.lognormal(np.log(_POINTS[0]), _POINTS[1]), 4, 500))
    angles = np.linspace(0, 2 * np.pi, number, endpoint=False)
    reach = 1 + 0.3 * np.cos(3 * angles + rng.uniform(0, 6)) * rng.random()
    return 0.5 * reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _object(rng: np.random.Generator, shapes: list[np.ndarray]) -> dict[str, Any]:
    scale = np.exp(rng.uniform(np.log(10), np.log(300)))
    x, y = rng.uniform(0, _WIDTH), rng.uniform(0, _HEIGHT)
    parts = []
    for part in range(1 + (rng.random() < _SHARE_TWO_PARTS)):
        drawn = shapes[int(rng.integers(len(shapes)))] * scale + (x + part * scale, y)
        parts.append(np.clip(drawn, 0, (_WIDTH, _HEIGHT)).round(2))
    corners = np.concatenate(parts)
    (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0) + 0.01  # none without a size
    box = [float(v) for v in np.round((x0, y0, x1 - x0, y1 - y0), 2)]
    area = sum(_area(part) for part in parts)
    polygons = [part.reshape(-1).tolist() for part in parts]
    return {"segmentation": polygons, "area": round(area + 0.01, 4), "bbox": box}


def _area(corners: np.ndarray) -> float:
    x, y = corners.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def _crowd(rng: np.random.Generator) -> dict[str, Any]:
    """Draw a rectangle as run lengths down the columns."""
    width, height = int(rng.integers(20, 300)), int(rng.integers(20, 200))
    x, y = int(rng.integers(0, _WIDTH - width)), int(rng.integers(0, _HEIGHT - height))
    runs = [x * _HEIGHT + y, *[height, _HEIGHT - height] * width]
    runs[-1] = _HEIGHT * _WIDTH - sum(runs[:-1])
    mask = {"size": [_HEIGHT, _WIDTH], "counts": runs}
    return {"segmentation": mask, "area": width * height, "bbox": [x, y, width, height]}
