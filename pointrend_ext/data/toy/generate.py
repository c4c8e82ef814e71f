"""Write the toy data set below Detectron2's data root.

Layout, ``SPLIT`` being ``train`` or ``val``::

    ROOT/toy/toy.json                              stamp: version and arguments
    ROOT/toy/SPLIT/*.jpg                           images
    ROOT/toy/annotations/instances_SPLIT.json      COCO instances
    ROOT/toy/annotations/panoptic_SPLIT.json       COCO panoptic, with panoptic_SPLIT/*.png
    ROOT/toy/panoptic_stuff_SPLIT/*.png            label maps for Panoptic FPN
    ROOT/toy/sem_seg_SPLIT/*.png                   label maps over stuff and things
    ROOT/toy/cityscapes/{leftImg8bit,gtFine}/SPLIT/CITY/*
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from iopath.common.file_io import file_lock
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from .cityscapes_format import cityscapes_labels, cityscapes_stem
from .coco_format import (
    coco_categories,
    image_record,
    instance_annotations,
    panoptic_segments,
    panoptic_stuff_labels,
    semantic_labels,
)
from .layout import SPLITS, sample_scene
from .render import render_image
from .scene import Scene, scene_maps

TOY_DATA_VERSION = 2
"""Raised whenever the generator's output changes, so that old copies are replaced."""

_STAMP = "toy.json"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ToySpec:
    """What to generate.

    Attributes:
        num_train: number of training images, at least 1.
        num_val: number of validation images, at least 1.
        seed: seed of the data set, at least 0.

    Raises:
        ValueError: a value is out of its range.
    """

    num_train: int = 256
    num_val: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_train < 1 or self.num_val < 1 or self.seed < 0:
            raise ValueError(f"{self}: num_train and num_val must be at least 1, seed at least 0.")

    def stamp(self) -> dict[str, Any]:
        """Return the content of the stamp file."""
        return {"version": TOY_DATA_VERSION, **asdict(self)}


def generate_toy_data(root: str | os.PathLike[str], **spec: int) -> Path:
    """Write the toy data set to ``root/toy``, replacing an earlier one.

    Everything is written to a sibling directory first, which then is renamed: a reader sees the
    old data set or the new one, never half of one. The bytes depend on the arguments alone, and
    those of one scene on ``seed``, split and index alone.

    Args:
        root: Detectron2's data root; created when missing.
        **spec: fields of ``ToySpec`` (``num_train=256, num_val=64, seed=0``).

    Returns:
        ``root/toy``.

    Raises:
        ValueError: a value of ``spec`` is out of its range.
        FileExistsError: ``root/toy`` exists and was not written by this function.
    """
    return _generate_locked(root, ToySpec(**spec), keep_same=False)


def ensure_toy_data(root: str | os.PathLike[str], **spec: int) -> Path:
    """Generate the toy data set unless ``root/toy`` already holds exactly it.

    Several processes may call this at once: one generates, the others wait for it.

    Args, result and errors are those of ``generate_toy_data``.
    """
    return _generate_locked(root, ToySpec(**spec), keep_same=True)


def _generate_locked(root: str | os.PathLike[str], spec: ToySpec, *, keep_same: bool) -> Path:
    root = Path(root).expanduser()
    if keep_same and _read_stamp(root) == spec.stamp():
        return root / "toy"
    with file_lock(str(root / ".toy")):
        if keep_same and _read_stamp(root) == spec.stamp():  # by another process meanwhile
            return root / "toy"
        return _generate(root, spec)


def _read_stamp(root: Path) -> dict[str, Any] | None:
    """Return the stamp of the toy data set below ``root``; ``None`` when there is none."""
    try:
        return json.loads((root / "toy" / _STAMP).read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None


def _generate(root: Path, spec: ToySpec) -> Path:
    """Generate under the lock of ``root``."""
    target = root / "toy"
    if target.exists() and _read_stamp(root) is None and any(target.iterdir()):
        raise FileExistsError(
            f"generate_toy_data: {target} exists but holds no valid {_STAMP}, so it may be yours; "
            "move it away or choose another root."
        )
    logger.info("Generating toy data %s in %s", spec, target)
    building = Path(tempfile.mkdtemp(prefix=".toy-", dir=root))
    try:
        new = building / "new"
        new.mkdir()
        for split, number in zip(SPLITS, (spec.num_train, spec.num_val), strict=True):
            _write_split(new, split, number, spec)
        _write_json(new / _STAMP, spec.stamp())
        if target.exists():
            target.rename(building / "old")
        new.rename(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return target


def _write_split(target: Path, split: str, number: int, spec: ToySpec) -> None:
    """Write all files of one split."""
    folders = (split, "annotations", f"panoptic_{split}")
    for folder in (*folders, f"panoptic_stuff_{split}", f"sem_seg_{split}"):
        (target / folder).mkdir(exist_ok=True)
    images: list[dict[str, Any]] = []
    instances: list[dict[str, Any]] = []
    panoptic: list[dict[str, Any]] = []
    for index in tqdm(range(number), f"toy {split}", mininterval=2):
        scene = sample_scene(split, index, seed=spec.seed)
        annotations, segments = _write_scene(target, scene)
        images.append(image_record(scene))
        instances += annotations
        panoptic.append(segments)
    info = {"description": "pointrend_ext toy data", "version": str(TOY_DATA_VERSION)}
    for name, entries in (("instances", instances), ("panoptic", panoptic)):
        categories = coco_categories(with_stuff=name == "panoptic")
        content = {"info": info, "images": images, "annotations": entries, "categories": categories}
        _write_json(target / "annotations" / f"{name}_{split}.json", content)


def _write_scene(target: Path, scene: Scene) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Write image and label maps of a scene; return its instance and panoptic annotations."""
    maps = scene_maps(scene)
    image = render_image(scene)
    picture, segments = panoptic_segments(scene, maps)
    name = f"{scene.stem}.png"
    jpeg = target / scene.split / f"{scene.stem}.jpg"
    Image.fromarray(image).save(jpeg, quality=95, subsampling=0)
    _write_png(target / f"panoptic_{scene.split}" / name, picture)
    _write_png(target / f"panoptic_stuff_{scene.split}" / name, panoptic_stuff_labels(maps))
    _write_png(target / f"sem_seg_{scene.split}" / name, semantic_labels(scene, maps))
    place = cityscapes_stem(scene)
    if place is not None:
        city, stem = place
        labels = cityscapes_labels(scene, maps)
        base = target / "cityscapes"
        truth = base / "gtFine" / scene.split / city / f"{stem}_gtFine"
        _write_png(base / "leftImg8bit" / scene.split / city / f"{stem}_leftImg8bit.png", image)
        _write_png(Path(f"{truth}_instanceIds.png"), labels.instance_ids)
        _write_png(Path(f"{truth}_labelIds.png"), labels.label_ids)
        _write_png(Path(f"{truth}_labelTrainIds.png"), labels.label_train_ids)
        _write_json(Path(f"{truth}_polygons.json"), labels.polygons)
    entry = {"image_id": scene.image_id, "file_name": name, "segments_info": segments}
    return instance_annotations(scene, maps), entry


def _write_png(path: Path, pixels: NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=4)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, separators=(",", ":")), "utf-8")
