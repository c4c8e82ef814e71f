"""Write the toy data set below Detectron2's data root.

Layout, ``SPLIT`` being ``train`` or ``val``::

    ROOT/toy/toy.json                              stamp: version and arguments
    ROOT/toy/SPLIT/*.jpg                           images
    ROOT/toy/annotations/instances_SPLIT.json      COCO instances
    ROOT/toy/annotations/panoptic_SPLIT.json       COCO panoptic, with panoptic_SPLIT/*.png
    ROOT/toy/panoptic_stuff_SPLIT/*.png            label maps for Panoptic FPN
    ROOT/toy/sem_seg_SPLIT/*.png                   label maps over stuff and things
"""

import json
import logging
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from iopath.common.file_io import file_lock
from PIL import Image
from tqdm import tqdm

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
        **spec: fields of ``ToySpec``.

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
    target = Path(root).expanduser() / "toy"

    def is_there() -> bool:
        return keep_same and _read_stamp(target) == spec.stamp()

    if not is_there():
        with file_lock(str(target.with_name(".toy"))):
            if not is_there():  # by another process meanwhile
                _replace(target, spec)
    return target


def _read_stamp(target: Path) -> dict[str, Any] | None:
    """Return the stamp of the toy data set in a folder; ``None`` when there is none."""
    try:
        return json.loads((target / _STAMP).read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None


def _replace(target: Path, spec: ToySpec) -> None:
    """Generate under the lock of the root."""
    if target.exists() and _read_stamp(target) is None and any(target.iterdir()):
        raise FileExistsError(
            f"generate_toy_data: {target} exists but holds no valid {_STAMP}, so it may be yours; "
            "move it away or choose another root."
        )
    logger.info("Generating toy data %s in %s", spec, target)
    building = Path(tempfile.mkdtemp(prefix=".toy-", dir=target.parent))
    try:
        new = building / "new"
        (new / "annotations").mkdir(parents=True)
        for split, number in zip(SPLITS, (spec.num_train, spec.num_val), strict=True):
            _write_split(new, split, number, spec.seed)
        _write_json(new / _STAMP, spec.stamp())
        if target.exists():
            target.rename(building / "old")
        new.rename(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _write_split(target: Path, split: str, number: int, seed: int) -> None:
    """Write all files of one split."""
    written = [
        _write_scene(target, sample_scene(split, index, seed=seed))
        for index in tqdm(range(number), f"toy {split}", mininterval=2)
    ]
    images, instances, panoptic = zip(*written, strict=True)
    info = {"description": "pointrend_ext toy data", "version": str(TOY_DATA_VERSION)}
    for name, entries in (("instances", [*chain(*instances)]), ("panoptic", panoptic)):
        categories = coco_categories(with_stuff=name == "panoptic")
        content = {"info": info, "images": images, "annotations": entries, "categories": categories}
        _write_json(target / "annotations" / f"{name}_{split}.json", content)


def _write_scene(
    target: Path, scene: Scene
) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    """Write image and label maps; return image record, instance and panoptic annotations."""
    maps = scene_maps(scene)
    picture, segments = panoptic_segments(scene, maps)
    files = {
        f"{scene.split}/{scene.stem}.jpg": render_image(scene),
        f"panoptic_{scene.split}/{scene.stem}.png": picture,
        f"panoptic_stuff_{scene.split}/{scene.stem}.png": panoptic_stuff_labels(maps),
        f"sem_seg_{scene.split}/{scene.stem}.png": semantic_labels(scene, maps),
    }
    for name, pixels in files.items():
        (target / name).parent.mkdir(exist_ok=True)
        # JPEG has quality and subsampling, PNG the level of compression.
        Image.fromarray(pixels).save(target / name, quality=95, subsampling=0, compress_level=4)
    entry = {"image_id": scene.image_id, "file_name": Path(name).name, "segments_info": segments}
    return image_record(scene), instance_annotations(scene, maps), entry


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, separators=(",", ":")), "utf-8")
