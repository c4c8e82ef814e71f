"""Tiny COCO data sets on disk, and configs to read them."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from PIL import Image

from pointrend_ext.config import add_pointrend_config
from pointrend_ext.data.toy import generate_toy_data

HEIGHT, WIDTH = 40, 60


def square(x0=10, y0=5, x1=30, y1=25):
    """A polygon whose corners lie between pixels, as a flat list."""
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def annotation(image_id=1, category_id=1, **changes):
    """A COCO annotation of the 20 x 20 square at (10, 5)."""
    entry = {
        "image_id": image_id,
        "category_id": category_id,
        "bbox": [10, 5, 20, 20],
        "area": 400,
        "iscrowd": 0,
        "segmentation": [square()],
    }
    return {**entry, **changes}


def write_image(path, height=HEIGHT, width=WIDTH, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def coco(tmp_path):
    """A factory: ``coco(annotations, num_images, categories)`` writes and registers a data set."""
    registered = []

    def make(annotations=None, num_images=2, categories=None, *, name=None, register=True):
        name = name or f"test_set_{len(registered)}_{tmp_path.name}"
        root = tmp_path / name
        (root / "images").mkdir(parents=True)
        annotations = [annotation()] if annotations is None else annotations
        for image_id in range(1, num_images + 1):
            write_image(root / "images" / f"{image_id}.jpg", seed=image_id)
        content = {
            "images": [
                {"id": i, "file_name": f"{i}.jpg", "height": HEIGHT, "width": WIDTH}
                for i in range(1, num_images + 1)
            ],
            "categories": categories or [{"id": 1, "name": "star"}, {"id": 2, "name": "gear"}],
            "annotations": [{"id": i, **a} for i, a in enumerate(annotations, start=1)],
        }
        json_file = root / "instances.json"
        json_file.write_text(json.dumps(content))
        if register:
            register_coco_instances(name, {}, str(json_file), str(root / "images"))
            registered.append(name)
        return SimpleNamespace(
            name=name, json_file=Path(json_file), images=root / "images", content=content
        )

    yield make
    for name in registered:
        DatasetCatalog.remove(name)
        MetadataCatalog.pop(name)


@pytest.fixture
def cfg():
    """A config that keeps images at 40 x 60 and reads them in this process."""
    config = get_cfg()
    add_pointrend_config(config)
    config.MODEL.META_ARCHITECTURE = "GeneralizedRCNN"
    config.MODEL.MASK_ON = True
    config.MODEL.ROI_HEADS.NUM_CLASSES = 2
    config.MODEL.ROI_MASK_HEAD.NAME = "PointRendROIMaskHead"
    config.INPUT.MIN_SIZE_TRAIN = (HEIGHT,)
    config.INPUT.MIN_SIZE_TEST = HEIGHT
    config.INPUT.RANDOM_FLIP = "none"
    config.DATALOADER.NUM_WORKERS = 0
    config.SOLVER.IMS_PER_BATCH = 1
    return config


@pytest.fixture
def record(tmp_path):
    """One record in Detectron2's format, of an existing 40 x 60 image, without annotations."""
    write_image(tmp_path / "one.jpg")
    return {
        "file_name": str(tmp_path / "one.jpg"),
        "height": HEIGHT,
        "width": WIDTH,
        "image_id": 1,
        "annotations": [],
    }


@pytest.fixture(scope="session")
def toy_root(tmp_path_factory):
    """A data root with six train and four val images; read only."""
    root = tmp_path_factory.mktemp("toy_root")
    generate_toy_data(root, num_train=6, num_val=4, seed=3)
    return root
