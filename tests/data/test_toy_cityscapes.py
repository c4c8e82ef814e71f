"""The Cityscapes copy, read by Detectron2 and cityscapesScripts; its evaluation: test_build.py."""

from pathlib import Path

import numpy as np
import pycocotools.mask as mask_util
import pytest
from detectron2.data import DatasetCatalog
from detectron2.data.datasets.cityscapes import load_cityscapes_instances
from PIL import Image

from pointrend_ext.data.toy import register_toy_datasets
from pointrend_ext.data.toy.cityscapes_format import joined_contour
from pointrend_ext.data.toy.classes import (
    CITYSCAPES_IDS,
    CITYSCAPES_NAMES,
    CITYSCAPES_SEM_SEG_CLASSES,
    CITYSCAPES_THING_CLASSES,
    THING_IDS,
)
from pointrend_ext.data.toy.layout import sample_scene
from pointrend_ext.data.toy.scene import scene_maps

pytest.importorskip("cityscapesscripts")


@pytest.fixture(scope="module")
def truth(toy_root):
    return toy_root / "toy/cityscapes/gtFine"


@pytest.fixture
def folders(toy_root):
    base = toy_root / "toy/cityscapes"
    return str(base / "leftImg8bit/val"), str(base / "gtFine/val")


@pytest.fixture
def records(toy_root):
    register_toy_datasets(toy_root)
    return DatasetCatalog.get("toy_cityscapes_instance_val")


def read_png(path):
    return np.array(Image.open(path))


def iou(first, second):
    return (first & second).sum() / (first | second).sum()


def draw(polygons_file):
    """The instance map that cityscapesScripts makes of a polygon file."""
    from cityscapesscripts.helpers.annotation import Annotation
    from cityscapesscripts.preparation.json2instanceImg import createInstanceImage

    annotation = Annotation()
    annotation.fromJsonFile(str(polygons_file))
    return np.array(createInstanceImage(annotation, "ids"))


def test_ids_are_those_of_cityscapesscripts(truth):
    from cityscapesscripts.helpers.labels import id2label, name2label

    assert {name: name2label[name].id for name in CITYSCAPES_IDS} == CITYSCAPES_IDS
    evaluated = {
        name: label.trainId for name, label in name2label.items() if not label.ignoreInEval
    }
    assert evaluated == {name: i for i, name in enumerate(CITYSCAPES_SEM_SEG_CLASSES)}
    assert [n for n in evaluated if name2label[n].hasInstances] == list(CITYSCAPES_THING_CLASSES)
    for toy_name, name in CITYSCAPES_NAMES.items():
        assert name2label[name].hasInstances == (toy_name in THING_IDS)
        assert not name2label[name].ignoreInEval
    for path in truth.glob("*/*/*_labelIds.png"):
        labels = read_png(path)
        expected = np.vectorize(lambda i: id2label[i].trainId)(labels)
        stem = str(path)[: -len("labelIds.png")]
        np.testing.assert_array_equal(read_png(f"{stem}labelTrainIds.png"), expected)
        instances = read_png(f"{stem}instanceIds.png").astype(int)
        single = np.where(instances >= 1000, instances // 1000, instances)
        np.testing.assert_array_equal(single, labels)


@pytest.mark.parametrize(("split", "indices"), [("train", [0, 4]), ("val", [0, 1, 2, 3])])
def test_instance_ids_are_the_visible_objects_of_the_scene(truth, split, indices):
    paths = sorted((truth / split).glob("*/*_instanceIds.png"), key=lambda p: p.name.split("_")[1])
    assert [int(path.name.split("_")[1]) for path in paths] == indices
    for path, index in zip(paths, indices, strict=True):
        assert path.name.startswith(path.parent.name + "_")
        ids, scene = read_png(path), sample_scene(split, index, seed=3)
        maps, seen = scene_maps(scene), []
        for number, item in enumerate(scene.objects):
            found = np.unique(ids[maps.visible(number)])
            assert len(found) == 1
            label = CITYSCAPES_IDS[CITYSCAPES_NAMES[item.category]]
            assert found[0] == label if item.is_crowd else found[0] // 1000 == label
            seen.append(found[0])
        assert len(set(seen)) == len(seen)
        assert ids[maps.object_index < 0].max() < 24


def test_polygons_drawn_by_cityscapesscripts_give_the_instance_map(truth):
    for path in truth.glob("*/*/*_polygons.json"):
        exact = read_png(str(path).replace("polygons.json", "instanceIds.png"))
        drawn = draw(path)
        assert (drawn != exact).mean() < 0.001
        for instance in np.unique(exact):
            assert iou(drawn == instance, exact == instance) > 0.97


def test_joined_contour_keeps_holes_and_parts():
    from PIL import ImageDraw

    mask = np.zeros((20, 30), dtype=bool)
    mask[2:14, 3:20] = True
    mask[5:9, 6:10] = mask[6:11, 13:17] = False
    mask[4:9, 24:28] = True
    image = Image.new("1", (30, 20))
    ImageDraw.Draw(image).polygon([tuple(point) for point in joined_contour(mask)], fill=1)
    drawn = np.array(image)
    assert not (mask & ~drawn).any()
    extra = drawn & ~mask
    assert extra[:, 20:24].sum() == extra.sum() <= 4, "only the bridge between the parts"


def test_joined_contour_of_a_single_pixel_is_a_polygon():
    mask = np.zeros((3, 3), dtype=bool)
    mask[1, 2] = True
    assert joined_contour(mask) == [[2, 1]] * 3


def test_bitmask_loader_gives_the_exact_masks(records, truth):
    assert len(records) == 4
    crowds = 0
    for record in records:
        city, stem = Path(record["file_name"]).parts[-2:]
        ids = read_png(truth / "val" / city / stem.replace("leftImg8bit", "gtFine_instanceIds"))
        assert len(record["annotations"]) == len(np.unique(ids[ids >= 24]))
        for annotation in record["annotations"]:
            mask = mask_util.decode(annotation["segmentation"]).astype(bool)
            assert len(np.unique(ids[mask])) == 1
            assert (ids == ids[mask][0]).sum() == mask.sum()
            assert annotation["iscrowd"] == (ids[mask][0] < 1000)
            crowds += annotation["iscrowd"]
    assert crowds == 1


def test_polygon_loaders_give_the_same_objects_up_to_holes(records, folders):
    """Detectron2's polygons know no holes: where an object has none, both loaders agree."""
    pytest.importorskip("shapely")
    polygons = {r["file_name"]: r for r in load_cityscapes_instances(*folders, True, True)}
    compared = 0
    for record in records:
        size = (record["height"], record["width"])
        other = [
            mask_util.decode(mask_util.merge(mask_util.frPyObjects(a["segmentation"], *size)))
            for a in polygons[record["file_name"]]["annotations"]
            if not a["iscrowd"]
        ]
        singles = [a for a in record["annotations"] if not a["iscrowd"]]
        assert len(other) == len(singles)
        for annotation in singles:
            mask = mask_util.decode(annotation["segmentation"])
            best = max(other, key=lambda drawn: iou(drawn > 0, mask > 0))
            assert (best[mask > 0]).mean() > 0.95
            if annotation["category_id"] in (0, 3):  # star, blob: no holes of their own
                compared += 1
    assert compared > 2
