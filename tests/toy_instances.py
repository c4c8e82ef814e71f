"""Instance data for tests: small annotation files, predictions made by spoiling them."""

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances
from pycocotools import mask as mask_util

from pointrend_ext.data.toy import generate_toy_data
from pointrend_ext.evaluation.coco_truth import CocoTruth


def rle(mask):
    encoded = mask_util.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def annotation_rle(annotation, size_hw):
    segmentation = annotation["segmentation"]
    if isinstance(segmentation, list):
        return mask_util.merge(mask_util.frPyObjects(segmentation, *size_hw))
    if isinstance(segmentation["counts"], list):
        return mask_util.frPyObjects(segmentation, *size_hw)
    return segmentation


def shape(mask):
    return {"bbox": mask_util.toBbox(rle(mask)).tolist(), "segmentation": rle(mask)}


def truth(sizes_hw, annotations, classes=("thing",)):
    """annotations: (image index, class index, mask, is crowd); ids of everything start at 1."""
    images = [{"id": i, "height": h, "width": w} for i, (h, w) in enumerate(sizes_hw, start=1)]
    categories = [{"id": k, "name": name} for k, name in enumerate(classes, start=1)]
    entries = []
    for n, (image, class_index, mask, crowd) in enumerate(annotations, start=1):
        ids = {"id": n, "image_id": image + 1, "category_id": class_index + 1}
        entries.append({**ids, "iscrowd": int(crowd), "area": float(np.sum(mask)), **shape(mask)})
    content = {"images": images, "categories": categories, "annotations": entries}
    return CocoTruth(content, "by hand")


def prediction(image, class_index, mask, score):
    ids = {"image_id": image + 1, "category_id": class_index + 1}
    return {**ids, "score": score, **shape(mask)}


def as_instances(predictions, size_hw, to_contiguous):
    """Predictions as a model puts them out."""
    found = Instances(size_hw)
    masks = [mask_util.decode(p["segmentation"]) for p in predictions]
    boxes = np.array([p["bbox"] for p in predictions]).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    found.pred_boxes = Boxes(torch.as_tensor(boxes))
    found.pred_masks = torch.as_tensor(np.array(masks).reshape(-1, *size_hw)).bool()
    found.scores = torch.tensor([p["score"] for p in predictions])
    classes = [to_contiguous[p["category_id"]] for p in predictions]
    found.pred_classes = torch.tensor(classes, dtype=torch.int64)
    return {"instances": found}


def spoiled(coco_truth, rng, share_missing=0.15):
    """Predictions: true masks moved and frayed, of wrong classes, too many, or missing."""
    classes = list(coco_truth.class_names)
    predictions = []
    for annotation in coco_truth.dataset["annotations"]:
        for _ in range(rng.integers(1, 3)):
            if rng.random() < share_missing:
                continue
            size_hw = coco_truth.sizes_hw[annotation["image_id"]]
            mask = mask_util.decode(annotation_rle(annotation, size_hw))
            reach = int(rng.integers(0, max(2, int(0.15 * np.sqrt(mask.sum())))))
            mask = np.roll(mask, rng.integers(-reach, reach + 1, 2), (0, 1))
            if rng.random() < 0.5:
                mask &= rng.random(mask.shape) < rng.choice([0.6, 0.9, 0.99])
            if not mask.any():
                continue
            wrong = rng.random() < 0.15
            own = annotation["category_id"]
            own = int(rng.choice(classes)) if wrong else own
            score = round(float(rng.random()), 2)  # with ties
            ids = {"image_id": annotation["image_id"], "category_id": own}
            predictions.append({**ids, "score": score, **shape(mask)})
    return predictions


def columns(number, first=0):
    """A mask of 20 x 100 pixels that fills some columns."""
    mask = np.zeros((20, 100), dtype=np.uint8)
    mask[:, first : first + number] = 1
    return mask


def as_lvis(dataset, rng=None, *, names=None, new_id=lambda k: k):
    """The annotations in LVIS's format; with rng, some classes are unknown or incomplete."""
    lists = {"neg_category_ids": [], "not_exhaustive_category_ids": []}
    content = {
        "images": [{**image, **lists} for image in dataset["images"]],
        "categories": [
            {"id": new_id(c["id"]), "name": (names or {}).get(c["id"], c["name"]), "frequency": f}
            for c, f in zip(dataset["categories"], itertools.cycle("rcf"))
        ],
        "annotations": [
            {**a, "category_id": new_id(a["category_id"])}
            for a in dataset["annotations"]
            if not a.get("iscrowd", 0)
        ],
    }
    if rng is not None:
        classes = [c["id"] for c in content["categories"]]
        for image in content["images"]:
            own = [a for a in content["annotations"] if a["image_id"] == image["id"]]
            here = {a["category_id"] for a in own}
            absent = [k for k in classes if k not in here]
            image["neg_category_ids"] = [k for k in absent if rng.random() < 0.5]
            image["not_exhaustive_category_ids"] = [k for k in sorted(here) if rng.random() < 0.3]
        content["annotations"] = [a for a in content["annotations"] if rng.random() < 0.8]
    return content


def ap(table, name="AP"):
    """AP in per cent under Detectron2's name."""
    return table.metrics(high_ious=True, every_iou=True)[name]


def ap_array(table):
    """AP (T, K, A) in 0..1, NaN where there is nothing to find."""
    return np.where(table.precision < 0, np.nan, table.precision).mean(axis=1)


@pytest.fixture(scope="session")
def instances():
    """Making annotations and predictions of instances."""
    return SimpleNamespace(
        rle=rle, truth=truth, prediction=prediction, spoiled=spoiled, annotation_rle=annotation_rle
    )


@pytest.fixture(scope="session")
def toy_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("toy_instances")
    generate_toy_data(root, num_train=1, num_val=8)
    return root


@pytest.fixture(scope="session")
def toy_json(toy_root):
    return toy_root / "toy" / "annotations" / "instances_val.json"


@pytest.fixture(scope="session")
def toy_truth(toy_json):
    return CocoTruth.load(toy_json)


@pytest.fixture(scope="session")
def toy_predictions(toy_truth):
    return spoiled(toy_truth, np.random.default_rng(5))


@pytest.fixture(scope="session")
def crowds_truth():
    """Boxes on 12 images, one in three a crowd."""
    rng = np.random.default_rng(3)
    annotations = []
    for image in range(12):
        for _ in range(rng.integers(0, 5)):
            y, x = rng.integers(0, 60, 2)
            mask = np.zeros((80, 110), np.uint8)
            mask[y : y + rng.integers(5, 50), x : x + rng.integers(5, 50)] = 1
            annotations.append((image, rng.integers(0, 3), mask, rng.random() < 0.3))
    return truth([(80, 110)] * 12, annotations, ("a", "b", "c"))


@pytest.fixture(scope="session")
def crowds_predictions(crowds_truth):
    return spoiled(crowds_truth, np.random.default_rng(3))


@pytest.fixture(params=["toy", "crowds", pytest.param("coco", marks=pytest.mark.real_data)])
def scored(request):
    """Ground truth and predictions."""
    return tuple(request.getfixturevalue(f"{request.param}_{k}") for k in ("truth", "predictions"))


@pytest.fixture(scope="session")
def coco_truth(real_data):
    loaded = CocoTruth.load(real_data / "coco" / "annotations" / "instances_val2017.json")
    assert sum(a["iscrowd"] for a in loaded.dataset["annotations"]) == 7
    return loaded


@pytest.fixture(scope="session")
def coco_predictions(coco_truth):
    return spoiled(coco_truth, np.random.default_rng(0))


@pytest.fixture
def write_json(tmp_path):
    def write(content, name="file.json"):
        path = tmp_path / name
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    return write
