"""COCO-like annotations and predictions drawn from a seed."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util

__all__ = ["SyntheticSpec", "write_synthetic_data"]

_SHARE_CROWD, _SHARE_WRONG_CLASS, _SHARE_TWICE = 0.01, 0.1, 0.3
_RADII_PX = (6.0, 160.0)  # log-uniform, so that all three size ranges of COCO have objects
_WORST_QUALITY = 0.3  # of a detection: how far it is off in units of the radius


@dataclass(frozen=True)
class SyntheticSpec:
    """What is drawn.

    Attributes:
        images, classes: how many; no images for no case.
        height, width: of all images, in pixels.
        objects, per_image: mean numbers of objects and of predictions per image.
        seed: of everything.
    """

    images: int = 5000
    height: int = 480
    width: int = 640
    classes: int = 80
    objects: float = 7.0
    per_image: float = 20.0
    seed: int = 0

    @property
    def size_hw(self) -> tuple[int, int]:
        """Rows and columns, in pixels."""
        return self.height, self.width


def write_synthetic_data(folder: Path, spec: SyntheticSpec) -> tuple[Path, Path]:
    """Write an annotation file and a results file in COCO's formats.

    Objects are blobs given as polygons, one in a hundred is a crowd of uncompressed run lengths.
    Each is found once or twice, moved and frayed, sometimes as another class; the rest of the
    predictions is found where nothing is. Good detections tend to have high scores.

    Returns:
        ``annotations.json`` and ``predictions.json`` in the folder, which exists.
    """
    rng = np.random.default_rng(spec.seed)
    annotations: list[dict[str, Any]] = []
    predictions: list[dict[str, Any]] = []
    for image_id in range(1, spec.images + 1):
        outlines = [_outline(rng, spec.size_hw) for _ in range(rng.poisson(spec.objects))]
        classes = rng.integers(1, spec.classes + 1, len(outlines)).tolist()
        for outline, class_id in zip(outlines, classes, strict=True):
            found = _annotation(rng, outline, spec.size_hw)
            ids = {"id": len(annotations) + 1, "image_id": image_id, "category_id": class_id}
            annotations.append({**ids, **found})
        predictions += _predictions(rng, outlines, classes, image_id, spec)
    size = {"height": spec.height, "width": spec.width}
    images = [{"id": i + 1, **size} for i in range(spec.images)]
    categories = [{"id": k + 1, "name": f"class {k + 1}"} for k in range(spec.classes)]
    dataset = {"images": images, "categories": categories, "annotations": annotations}
    paths = folder / "annotations.json", folder / "predictions.json"
    for path, content in zip(paths, (dataset, predictions), strict=True):
        path.write_text(json.dumps(content), encoding="utf-8")
    return paths


def _outline(rng: np.random.Generator, size_hw: tuple[int, int]) -> np.ndarray:
    """Draw a blob: (K, 2) vertices (x, y) inside the image, in pixels."""
    height, width = size_hw
    largest = min(_RADII_PX[1], min(size_hw) / 3)
    radius = np.exp(rng.uniform(np.log(min(_RADII_PX[0], largest)), np.log(largest)))
    angles = np.linspace(0, 2 * np.pi, int(rng.integers(16, 64)), endpoint=False)
    reach = np.ones_like(angles)
    for waves in range(2, 7):
        reach += rng.normal(0, 0.3 / waves) * np.cos(waves * angles + rng.uniform(0, 2 * np.pi))
    stretch = rng.uniform(0.5, 1.0, 2)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    ring = radius * reach.clip(0.2)[:, None] * stretch * circle
    return _inside(ring + rng.uniform((0, 0), (width, height)), size_hw)


def _inside(outline: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    return outline.clip((0, 0), (size_hw[1], size_hw[0])).round(2)


def _annotation(
    rng: np.random.Generator, outline: np.ndarray, size_hw: tuple[int, int]
) -> dict[str, Any]:
    polygon = outline.reshape(-1).tolist()
    (rle,) = mask_util.frPyObjects([polygon], *size_hw)
    is_crowd = rng.random() < _SHARE_CROWD
    return {
        "iscrowd": int(is_crowd),
        "area": float(mask_util.area(rle)),
        "bbox": mask_util.toBbox(rle).tolist(),
        "segmentation": _uncompressed(rle) if is_crowd else [polygon],
    }


def _uncompressed(rle: dict[str, Any]) -> dict[str, Any]:
    """Write run lengths as a list, as COCO does for crowds."""
    pixels = mask_util.decode(rle).reshape(-1, order="F")
    ends = np.flatnonzero(np.diff(pixels, prepend=0, append=2))
    return {"size": list(rle["size"]), "counts": np.diff(ends, prepend=0).tolist()}


def _predictions(
    rng: np.random.Generator,
    outlines: list[np.ndarray],
    classes: list[int],
    image_id: int,
    spec: SyntheticSpec,
) -> list[dict[str, Any]]:
    drawn: list[tuple[np.ndarray, int, float]] = []
    for outline, class_id in zip(outlines, classes, strict=True):
        for _ in range(1 + (rng.random() < _SHARE_TWICE)):
            off = _WORST_QUALITY * rng.random() ** 2
            radius = np.sqrt(np.prod(np.ptp(outline, axis=0))) / 2
            noise = rng.normal(size=2) + 0.4 * rng.normal(size=outline.shape)
            is_right = rng.random() > _SHARE_WRONG_CLASS
            own = class_id if is_right else int(rng.integers(1, spec.classes + 1))
            score = float(np.clip(1 - 2 * off + rng.normal(0, 0.15), 0.05, 1))
            drawn.append((_inside(outline + radius * off * noise, spec.size_hw), own, score))
    for _ in range(rng.poisson(max(spec.per_image - len(drawn), 0))):
        score = float(0.05 + 0.6 * rng.random() ** 3)
        drawn.append((_outline(rng, spec.size_hw), int(rng.integers(1, spec.classes + 1)), score))
    if not drawn:
        return []
    rles = mask_util.frPyObjects([d[0].reshape(-1).tolist() for d in drawn], *spec.size_hw)
    return [
        {
            "image_id": image_id,
            "category_id": class_id,
            "bbox": mask_util.toBbox(rle).tolist(),
            "score": score,
            "segmentation": {"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")},
        }
        for (_, class_id, score), rle in zip(drawn, rles, strict=True)
        if mask_util.area(rle)
    ]
