"""Pictures of two models' saved predictions: which images, which window, which colours."""

import json

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from pointrend_ext.data.reading import read_image_rgb
from pointrend_ext.data.toy import register_toy_datasets
from pointrend_ext.evaluation.masks import decode_mask
from pointrend_ext.inspection import comparison
from pointrend_ext.inspection.comparison import write_comparisons
from pointrend_ext.visualization import write_image
from tests.toy_instances import rle

NAME, SIZE_HW = "two_classes_to_compare", (60, 80)
COLORS = [[200, 0, 0], [0, 0, 200]]


@pytest.fixture
def truth(toy_root):
    register_toy_datasets(toy_root)
    return json.loads((toy_root / "toy/annotations/instances_val.json").read_text())


@pytest.fixture
def results_file(truth, tmp_path):
    """Perfect predictions, or ones that are moved ``shift`` pixels to the right."""
    sizes_hw = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}

    def write(name, *, score=0.9, shift=0):
        entries = []
        for annotation in truth["annotations"]:
            if not annotation["iscrowd"]:
                ids = {key: annotation[key] for key in ("image_id", "category_id")}
                mask = decode_mask(annotation["segmentation"], sizes_hw[ids["image_id"]])
                moved = rle(np.roll(mask, shift, axis=1))
                entries.append({**ids, "score": score, "segmentation": moved})
        (tmp_path / name).write_text(json.dumps(entries))
        return tmp_path / name

    return write


def test_pictures_show_images_that_both_models_understood(truth, results_file, tmp_path):
    predictions = {"exact": results_file("a.json"), "moved": results_file("b.json", shift=3)}
    written = write_comparisons(predictions, "toy_val", tmp_path / "out", num_pictures=2)
    assert 1 <= len(written) <= 2
    for path in written:
        record = next(r for r in truth["images"] if path.stem in r["file_name"])
        picture = read_image_rgb(path)
        assert picture.shape[1] >= 3 * record["width"]
        assert picture.shape[0] > 1.5 * record["height"]  # the whole image and a zoom below


def test_weak_predictions_are_not_drawn(results_file, tmp_path):
    predictions = {"strong": results_file("a.json"), "weak": results_file("b.json", score=0.3)}
    assert write_comparisons(predictions, "toy_val", tmp_path / "out") == []


def test_images_of_one_name_have_pictures_of_their_own(monkeypatch, tmp_path):
    names = ["a/1.png", "b/1.png", "c/1.png"]
    found = [comparison._Candidate(1, n, name, lambda image: image) for n, name in enumerate(names)]
    monkeypatch.setattr(comparison, "_of_labels", lambda *_: found)
    monkeypatch.setattr(comparison, "find_data_set", lambda _: None)
    images = {name: np.full((4, 4, 3), n, np.uint8) for n, name in enumerate(names)}
    monkeypatch.setattr(comparison, "read_image_rgb", lambda name, _: images[name])
    written = write_comparisons({}, "", tmp_path)
    assert [int(read_image_rgb(path).max()) for path in written] == [0, 1, 2]


def test_categories_take_turns():
    entries = [(1, 0.9, "a"), (1, 0.8, "b"), (2, 0.7, "c"), (2, 0.6, "d"), (1, 0.5, "e")]
    found = [comparison._Candidate(merit, group, name, None) for group, merit, name in entries]
    turns = comparison._take_turns(found[::-1])
    assert [candidate.file_name for candidate in turns] == ["a", "c", "b", "d", "e"]


def test_the_object_is_the_one_that_the_worse_model_found_best():
    def objects(*spans):
        masks = np.zeros((len(spans), 100, 400), dtype=bool)
        for mask, (start, stop) in zip(masks, spans, strict=True):
            mask[:, start:stop] = True
        return [comparison._Object(mask, 1, "") for mask in masks]

    truth = objects((0, 100), (200, 300), (390, 391))  # the last one is too small
    first = objects((0, 100), (200, 280), (390, 391))  # IoU 1, .8, 1
    second = objects((200, 290), (0, 60), (390, 391))  # IoU .6, .9, 1
    index, iou = comparison._found_by_all(truth, [first, second])
    assert (index, iou) == (1, pytest.approx(0.8))
    assert comparison._best(second, truth[1].mask) == (0, pytest.approx(0.9))
    assert comparison._found_by_all(truth, [first, objects()])[1] == 0


@pytest.fixture
def label_maps(tmp_path, own_catalogs):
    """Black images: 0 where both models are right, 1 and 2 where the second is wrong."""
    records, saved = [], {"first": [], "second": []}
    for i, wrong_columns in enumerate((0, 10, 30)):
        image, truth_file = str(tmp_path / f"{i}.png"), str(tmp_path / f"truth{i}.png")
        truth = np.zeros(SIZE_HW, np.uint8)
        truth[30:] = 1
        labels = truth.copy()
        labels[:10, :wrong_columns] = 1
        write_image(image, np.zeros((*SIZE_HW, 3), np.uint8))
        Image.fromarray(truth).save(truth_file)
        for name, predicted in (("first", truth), ("second", labels)):
            saved[name] += [
                {"file_name": image, "category_id": c, "segmentation": rle(predicted == c)}
                for c in range(2)
            ]
        records.append({"file_name": image, "sem_seg_file_name": truth_file})
    DatasetCatalog.register(NAME, lambda: records)
    MetadataCatalog.get(NAME).set(
        stuff_classes=["a", "b"], ignore_label=255, stuff_colors=COLORS, evaluator_type="sem_seg"
    )
    for name, content in saved.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return {name: tmp_path / f"{name}.json" for name in saved}


def test_label_maps(label_maps, tmp_path):
    written = write_comparisons(label_maps, NAME, tmp_path / "out", num_pictures=2)
    assert [path.name for path in written] == ["2.png", "1.png"]  # most different first
    picture = read_image_rgb(written[0]).astype(int)
    only_red = (picture[..., 0] > 40) & (picture[..., 1:].max(-1) == 0)
    only_blue = (picture[..., 2] > 40) & (picture[..., :2].max(-1) == 0)
    assert only_red.mean() > 0.2
    assert only_blue.mean() > 0.2
    # Whole images above: red minus blue area is less for the second model by its wrong part.
    top, third = slice(0, picture.shape[0] // 2), picture.shape[1] // 3
    reds = [only_red[top, i * third : (i + 1) * third].sum() for i in range(3)]
    assert reds[0] == pytest.approx(reds[1], rel=0.05)
    assert reds[2] < 0.95 * reds[1]
