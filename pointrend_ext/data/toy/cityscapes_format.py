"""Scene -> Cityscapes label maps and polygons (format of Cordts et al., CVPR 2016).

Toy classes play Cityscapes classes (``classes.CITYSCAPES_NAMES``), so that Cityscapes loaders and
the official evaluation work unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .classes import CITYSCAPES_IDS, CITYSCAPES_NAMES, CITYSCAPES_SEM_SEG_CLASSES, IGNORE_LABEL
from .raster import rasterize
from .scene import Scene, SceneMaps

_CITIES = {"train": ("gearford", "starville"), "val": ("ringhaven",)}


def cityscapes_stem(scene: Scene) -> tuple[str, str] | None:
    """Return (city, file stem) of a scene that belongs to the Cityscapes copy, else ``None``.

    Every fourth scene of train and the first eight of val belong to it.
    """
    if scene.index % 4 if scene.split == "train" else scene.index >= 8:
        return None
    cities = _CITIES[scene.split]
    city = cities[scene.index // 4 % len(cities)]
    return city, f"{city}_{scene.index:06d}_000019"


@dataclass(frozen=True, eq=False)
class CityscapesLabels:
    """The ground truth of one image.

    Attributes:
        instance_ids: (H, W) uint16; label id * 1000 + number for single objects, else label id.
        label_ids: (H, W) uint8 label ids; 0 is "unlabeled".
        label_train_ids: (H, W) uint8, 0..18; 255 is ignored.
        polygons: content of the ``_gtFine_polygons.json`` file.
    """

    instance_ids: NDArray[np.uint16]
    label_ids: NDArray[np.uint8]
    label_train_ids: NDArray[np.uint8]
    polygons: dict[str, Any]


def cityscapes_labels(scene: Scene, maps: SceneMaps) -> CityscapesLabels:
    """Return all Cityscapes ground truth of a scene.

    The label maps are exact. The polygons follow Cityscapes' rule, integer points that later
    objects overwrite; drawn as cityscapesScripts draws them they give the instance map back but
    for single pixels. Holes and parts that the border separates are joined to the outer contour by
    a cut of zero width, because the format knows one ring per object.

    Args:
        scene: the description.
        maps: its rasterisation.
    """
    instance_ids = np.zeros(scene.size_hw, dtype=np.uint16)
    objects: list[dict[str, Any]] = []
    for index, region in enumerate(scene.regions):
        name = "unlabeled" if region.category is None else CITYSCAPES_NAMES[region.category]
        instance_ids[maps.region_index == index] = CITYSCAPES_IDS[name]
        _add_polygons(objects, name, rasterize(region.outlines, scene.size_hw))
    counts: dict[str, int] = {}
    for index, item in enumerate(scene.objects):
        name = CITYSCAPES_NAMES[item.category]
        mask = rasterize(item.outlines, scene.size_hw)
        if item.is_crowd:
            instance_ids[maps.visible(index)] = CITYSCAPES_IDS[name]
            _add_polygons(objects, name + "group", mask)
        else:
            number = counts.get(name, 0)
            counts[name] = number + 1
            instance_ids[maps.visible(index)] = CITYSCAPES_IDS[name] * 1000 + number
            objects.append({"label": name, "polygon": joined_contour(mask)})
    label_ids = np.where(instance_ids < 1000, instance_ids, instance_ids // 1000).astype(np.uint8)
    train_ids = np.full(256, IGNORE_LABEL, dtype=np.uint8)
    for train_id, name in enumerate(CITYSCAPES_SEM_SEG_CLASSES):
        train_ids[CITYSCAPES_IDS[name]] = train_id
    height, width = scene.size_hw
    polygons = {"imgHeight": height, "imgWidth": width, "objects": objects}
    return CityscapesLabels(instance_ids, label_ids, train_ids[label_ids], polygons)


def _add_polygons(objects: list[dict[str, Any]], label: str, mask: NDArray[np.bool_]) -> None:
    """Append one polygon per connected part of ``mask``."""
    number, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    for part in range(1, number):
        objects.append({"label": label, "polygon": joined_contour(parts == part)})


def joined_contour(mask: NDArray[np.bool_]) -> list[list[int]]:
    """Trace a mask as one ring through the centres of its border pixels.

    Args:
        mask: (H, W), not empty; several parts and holes are joined by zero-width cuts between
            nearest contour points.

    Returns:
        [[x, y], ...] integer pixel indices, at least three points.
    """
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    parts = sorted((contour[:, 0, :] for contour in found), key=cv2.contourArea)
    ring = parts.pop()
    while parts:
        gaps = [_nearest(ring, part) for part in parts]
        best = min(range(len(parts)), key=lambda index: gaps[index][0])
        _, here, there = gaps[best]
        part = np.roll(parts.pop(best), -there, axis=0)
        ring = np.concatenate([ring[: here + 1], part, part[:1], ring[here:]])
    while len(ring) < 3:
        ring = np.concatenate([ring, ring[-1:]])
    return ring.tolist()


def _nearest(first: np.ndarray, second: np.ndarray) -> tuple[int, int, int]:
    """Return (squared distance, index in ``first``, index in ``second``) of the nearest points."""
    squared = ((first[:, None, :] - second[None, :, :]) ** 2).sum(axis=2)
    here, there = np.unravel_index(int(squared.argmin()), squared.shape)
    return int(squared[here, there]), int(here), int(there)
