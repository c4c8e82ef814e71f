"""The start of a training on a file as large as COCO's: Detectron2's loader against ours.

Ours checks every annotation, and "with pictures" opens every picture, too, as the tools do;
Detectron2's checks neither. A second start finds what the first one kept.
"""

import argparse
import atexit
import contextlib
import hashlib
import io
import json
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog, get_detection_dataset_dicts
from detectron2.data.datasets import register_coco_instances

from benchmarks.annotation_file import COCO_IMAGES, write_annotation_file, write_pictures
from benchmarks.case import Case, Forms
from benchmarks.command import main
from pointrend_ext.data import check_datasets, check_images, load_dataset_dicts
from pointrend_ext.engine import load_cfg

__all__ = ["Start", "add_arguments", "cases"]

_NAME = "benchmark of a start"
_SLOWDOWN = {False: 1.3, True: 1.0}  # at most, by whether it is a second start


class Start:
    """The forms of one case.

    Args:
        folder: with ``annotations.json`` and ``pictures``.
        is_second: whether what a first start keeps is there.
        is_whole: whether ours looks at the pictures, too.
    """

    def __init__(self, folder: Path, *, is_second: bool, is_whole: bool) -> None:
        self._file, self._pictures = folder / "annotations.json", folder / "pictures"
        self._is_second, self._is_whole = is_second, is_whole
        self._cache = tempfile.TemporaryDirectory()

    def prepare(self, form: str) -> None:
        """Forget earlier starts; before a second one, let another process have the first."""
        self._cache = tempfile.TemporaryDirectory()
        os.environ["POINTREND_CACHE"] = self._cache.name
        if form == "ours" and self._is_second:
            first = multiprocessing.get_context("fork").Process(target=self.ours)
            first.start()
            first.join()
            if first.exitcode:
                raise RuntimeError(f"the first start failed with exit code {first.exitcode}")

    def upstream(self) -> list[dict[str, Any]]:
        """Load as Detectron2 does."""
        with self._registered() as name:
            return get_detection_dataset_dicts([name])

    def ours(self) -> list[dict[str, Any]]:
        """Check and load as a training does."""
        cfg = load_cfg("COCO-InstanceSegmentation/pointrend_rcnn_R_50_FPN_1x_coco.yaml")
        with self._registered() as name:
            if self._is_whole:
                check_datasets(cfg, [name])
                check_images(cfg, [name])
            return load_dataset_dicts(cfg, [name], is_train=True)

    @contextlib.contextmanager
    def _registered(self) -> Iterator[str]:
        register_coco_instances(_NAME, {}, str(self._file), str(self._pictures))
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                yield _NAME
        finally:
            DatasetCatalog.remove(_NAME)
            MetadataCatalog.remove(_NAME)

    def check(self, _results: Mapping[str, Any]) -> str:
        """Load with both and compare; say on what."""
        sums = {}
        for form, load in (("upstream", self.upstream), ("ours", self.ours)):
            records = load()
            sums[form] = _digest(records)
            images, objects = len(records), sum(len(r["annotations"]) for r in records)
            del records
        assert sums["ours"] == sums["upstream"], "the records differ from those of Detectron2"
        size = self._file.stat().st_size / 1e6
        return f"records are equal: {images} images, {objects} objects, {size:.0f} MB"


def _digest(records: list[dict[str, Any]]) -> str:
    digest = hashlib.sha256()
    for record in records:
        digest.update(json.dumps(record, default=bytes.decode, sort_keys=True).encode())
    return digest.hexdigest()


def _build(_device: str, *, folder: Callable[[], Path], is_second: bool, is_whole: bool) -> Forms:
    start = Start(folder(), is_second=is_second, is_whole=is_whole)
    return Forms({"upstream": start.upstream, "ours": start.ours}, start.check, start.prepare)


def _data_folder(images: int) -> Path:
    """Return the data; they are written by the first process that asks, which also removes them."""
    folder = Path(tempfile.gettempdir(), f"pointrend_ext_startup_{images}")
    if not folder.is_dir():
        part = Path(tempfile.mkdtemp(dir=folder.parent))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        write_annotation_file(part / "annotations.json", images)
        write_pictures(part / "pictures", images)
        part.rename(folder)
    return folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the option for the size of the file."""
    text = "of COCO's 118,000 images and 860,000 objects (%(default)s)"
    parser.add_argument("--scale", type=float, default=1.0, metavar="SHARE", help=text)


def cases(arguments: argparse.Namespace) -> list[Case]:
    """Return first and second starts, with and without pictures."""
    folder = partial(_data_folder, max(int(arguments.scale * COCO_IMAGES), 1))
    found = []
    for is_whole, what in ((False, "annotations"), (True, "with pictures")):
        for is_second, which in ((False, "first"), (True, "second")):
            build = partial(_build, folder=folder, is_second=is_second, is_whole=is_whole)
            demand = round(1 / _SLOWDOWN[is_second], 2)
            case = Case("Start-up", f"{what}, {which}", build, min_ratio=demand)
            found.append(replace(case, warm_memory=False, own_process=True))
    return found


if __name__ == "__main__":
    main("benchmarks.startup")
