"""Toy scenes in Cityscapes' layout, for the evaluators that read it."""

import json

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import cityscapes
from detectron2.data.datasets.builtin_meta import _get_builtin_metadata
from PIL import Image

from pointrend_ext.data.toy.classes import TOY_THING_CLASSES
from pointrend_ext.data.toy.layout import sample_scene
from pointrend_ext.data.toy.scene import scene_maps

INSTANCES, LABELS = "toy_cityscapes_instance_val", "toy_cityscapes_sem_seg_val"
PLAYED_STUFF = ("sky", "vegetation", "road", "sidewalk")  # in the order of the toy classes
PLAYED_THINGS = ("person", "car", "truck", "bicycle", "bus", "motorcycle")


def write_scene(root, index):
    """Write a blank image and the ground truth, in which number and class make an instance id."""
    from cityscapesscripts.helpers.labels import id2label, name2label

    scene = sample_scene("val", index)
    maps = scene_maps(scene)
    ids = np.zeros(scene.size_hw, np.uint16)
    for label, name in enumerate(PLAYED_STUFF):
        ids[maps.stuff_label == label] = name2label[name].id
    for number, item in enumerate(scene.objects):
        label = name2label[PLAYED_THINGS[TOY_THING_CLASSES.index(item.category)]].id
        ids[maps.visible(number)] = label if item.is_crowd else 1000 * label + number
    labels = np.where(ids < 1000, ids, ids // 1000).astype(np.uint8)
    train_ids = np.array([id2label[label].trainId for label in range(34)])[labels].astype(np.uint8)
    stem = f"town/town_{index:06d}_000019"
    for folder in ("images/town", "truth/town"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", scene.size_hw[::-1]).save(root / f"images/{stem}_leftImg8bit.png")
    truth = {"instanceIds": ids, "labelIds": labels, "labelTrainIds": train_ids}
    for kind, pixels in truth.items():
        Image.fromarray(pixels).save(root / f"truth/{stem}_gtFine_{kind}.png")
    sizes = dict(zip(("imgHeight", "imgWidth"), scene.size_hw, strict=True))
    (root / f"truth/{stem}_gtFine_polygons.json").write_text(json.dumps(sizes))


def register_toy_cityscapes(root):
    """Write three scenes below a folder and register them: instances, and class maps."""
    for index in range(3):
        write_scene(root, index)
    folders = str(root / "images"), str(root / "truth")
    loaders = {
        INSTANCES: lambda: cityscapes.load_cityscapes_instances(*folders, False, False),
        LABELS: lambda: cityscapes.load_cityscapes_semantic(*folders),
    }
    for name, loader in loaders.items():
        DatasetCatalog.register(name, loader)
        MetadataCatalog.get(name).set(
            image_dir=folders[0],
            gt_dir=folders[1],
            ignore_label=255,
            evaluator_type=name.removeprefix("toy_").removesuffix("_val"),
            **_get_builtin_metadata("cityscapes"),
        )
