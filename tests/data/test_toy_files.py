"""The written files: determinism, agreement of all formats, replacing and locking."""

import hashlib
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pycocotools.mask as mask_util
import pytest
from PIL import Image
from pycocotools.coco import COCO

from pointrend_ext.data.toy import ToySpec, ensure_toy_data, generate, generate_toy_data
from pointrend_ext.data.toy.classes import (
    STUFF_IDS,
    THING_IDS,
    TOY_SEM_SEG_CLASSES,
    TOY_STUFF_CLASSES,
)
from pointrend_ext.data.toy.layout import sample_scene
from pointrend_ext.data.toy.scene import scene_maps

TINY = {"num_train": 1, "num_val": 1}


def digest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def read_json(path):
    return json.loads(path.read_text("utf-8"))


def read_png(path):
    return np.array(Image.open(path))


def test_same_bytes_on_every_run_and_whatever_the_number_of_images(tmp_path, toy_root):
    first = digest(generate_toy_data(tmp_path / "a", num_train=3, num_val=2, seed=3))
    assert digest(generate_toy_data(tmp_path / "b", num_train=3, num_val=2, seed=3)) == first
    larger = digest(toy_root / "toy")
    per_scene = {k: v for k, v in first.items() if not k.startswith(("annotations", "toy.json"))}
    assert len(per_scene) == 5 * 4
    assert per_scene.items() <= larger.items()
    few = read_json(tmp_path / "a/toy/annotations/instances_train.json")["annotations"]
    many = read_json(toy_root / "toy/annotations/instances_train.json")["annotations"]
    assert few == many[: len(few)]
    other = digest(generate_toy_data(tmp_path / "c", num_train=3, num_val=2, seed=4))
    assert not set(per_scene.values()) & set(other.values())


@pytest.fixture(params=["train", "val"])
def split(request):
    return request.param


@pytest.fixture
def coco(toy_root, split, capsys):
    return COCO(str(toy_root / f"toy/annotations/instances_{split}.json"))


def test_annotations_hold_the_exact_visible_masks(coco, split):
    kinds = {"polygon": 0, "rle": 0, "crowd": 0}
    for index, image_id in enumerate(sorted(coco.imgs)):
        scene = sample_scene(split, index, seed=3)
        maps = scene_maps(scene)
        assert scene.image_id == image_id
        annotations = coco.loadAnns(coco.getAnnIds(image_id))
        assert len(annotations) == len(scene.objects)
        for number, annotation in enumerate(annotations):
            exact, got = maps.visible(number), coco.annToMask(annotation).astype(bool)
            assert annotation["category_id"] == THING_IDS[scene.objects[number].category]
            assert annotation["area"] == exact.sum()
            np.testing.assert_array_equal(got, exact)
            if isinstance(annotation["segmentation"], list):
                kinds["polygon"] += 1
                assert len(scene.objects[number].outlines) == 1
            else:
                kinds["crowd" if annotation["iscrowd"] else "rle"] += 1
            x, y, width, height = annotation["bbox"]
            inside = exact[y : y + height, x : x + width]
            assert inside.sum() == exact.sum(), "the box misses pixels"
            for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
                assert edge.any(), "the box is not tight"
    assert min(kinds.values()) > 0, kinds


def test_ids_have_gaps_and_one_train_image_is_empty(coco, split):
    assert sorted(coco.cats) == [1, 2, 5, 7, 9, 12]
    assert (np.diff(sorted(coco.imgs)) > 1).all()
    empty = [i for i in coco.imgs if not coco.getAnnIds(i)]
    assert len(empty) == (1 if split == "train" else 0)


def test_label_maps_and_panoptic_agree_with_the_instances(toy_root, coco, split):
    base = toy_root / "toy"
    panoptic = read_json(base / f"annotations/panoptic_{split}.json")
    isthing = {c["id"]: c["isthing"] for c in panoptic["categories"]}
    assert [i for i, thing in isthing.items() if not thing] == list(STUFF_IDS.values())
    names = {c["id"]: c["name"] for c in panoptic["categories"]}
    for entry in panoptic["annotations"]:
        stem = Path(entry["file_name"]).stem
        picture = read_png(base / f"panoptic_{split}" / entry["file_name"]).astype(int)
        ids = picture @ [1, 256, 65536]
        semantic = read_png(base / f"sem_seg_{split}" / f"{stem}.png")
        stuff = read_png(base / f"panoptic_stuff_{split}" / f"{stem}.png")
        things = iter(coco.loadAnns(coco.getAnnIds(entry["image_id"])))
        covered = np.zeros(ids.shape, dtype=bool)
        for segment in entry["segments_info"]:
            mask, name = ids == segment["id"], names[segment["category_id"]]
            assert segment["area"] == mask.sum() > 0
            covered |= mask
            assert (semantic[mask] == TOY_SEM_SEG_CLASSES.index(name)).all()
            if isthing[segment["category_id"]]:
                instance = next(things)
                for key in ("category_id", "iscrowd", "bbox", "area"):
                    assert segment[key] == instance[key]
                np.testing.assert_array_equal(coco.annToMask(instance), mask)
                assert (stuff[mask] == 0).all()
            else:
                assert (stuff[mask] == TOY_STUFF_CLASSES.index(name) + 1).all()
        assert next(things, None) is None
        for labels, void in ((semantic, 255), (stuff, 255), (ids, 0)):
            np.testing.assert_array_equal(labels == void, ~covered)
        image = Image.open(base / split / f"{stem}.jpg")
        assert image.mode == "RGB"
        assert image.size == covered.shape[::-1]


def test_unannotated_pixels_exist(toy_root):
    labels = [read_png(path) for path in (toy_root / "toy/sem_seg_train").iterdir()]
    assert sum((label == 255).any() for label in labels) == 1


def test_ensure_keeps_what_is_there_and_replaces_other_versions(tmp_path, monkeypatch):
    path = ensure_toy_data(tmp_path, **TINY)
    assert path == tmp_path / "toy"
    inode = path.stat().st_ino
    assert ensure_toy_data(tmp_path, **TINY).stat().st_ino == inode
    ensure_toy_data(tmp_path, **{**TINY, "seed": 5})
    assert read_json(path / "toy.json")["seed"] == 5
    monkeypatch.setattr(generate, "TOY_DATA_VERSION", 99)
    ensure_toy_data(tmp_path, **{**TINY, "seed": 5})
    assert read_json(path / "toy.json")["version"] == 99
    assert sorted(p.name for p in tmp_path.iterdir()) == [".toy.lock", "toy"]


def test_two_processes_may_ensure_at_once(tmp_path):
    with ProcessPoolExecutor(2) as pool:
        jobs = [pool.submit(ensure_toy_data, tmp_path, **TINY) for _ in range(2)]
        assert [job.result() for job in jobs] == [tmp_path / "toy"] * 2
    again = generate_toy_data(tmp_path / "alone", **TINY)
    assert digest(again) == digest(tmp_path / "toy")


def test_a_foreign_folder_is_not_deleted(tmp_path):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy/mine.txt").write_text("precious")
    with pytest.raises(FileExistsError, match=r"toy exists but holds no valid toy\.json"):
        ensure_toy_data(tmp_path, **TINY)
    assert (tmp_path / "toy/mine.txt").read_text() == "precious"


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    ensure_toy_data(tmp_path, **TINY)
    before = digest(tmp_path / "toy")

    def fail(scene):
        raise RuntimeError("disk full")

    monkeypatch.setattr(generate, "render_image", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        generate_toy_data(tmp_path, **TINY)
    assert digest(tmp_path / "toy") == before
    assert sorted(p.name for p in tmp_path.iterdir()) == [".toy.lock", "toy"]


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [
        ("num_train", 0, "num_train=0.* must be at least 1"),
        ("num_val", -1, "num_val=-1"),
        ("seed", -1, "seed=-1.* seed at least 0"),
    ],
)
def test_bad_spec(field, value, match):
    with pytest.raises(ValueError, match=match):
        ToySpec(**{field: value})


def test_tool_writes_below_root(tmp_path, call_tool):
    numbers = ("--num-train", 1, "--num-val", 1, "--seed", 2)
    assert call_tool("make_toy_data", "--data-root", tmp_path, *numbers) == 0
    stamp = read_json(tmp_path / "toy/toy.json")
    assert stamp == ToySpec(1, 1, 2).stamp()
    instances = read_json(tmp_path / "toy/annotations/instances_val.json")
    rle = next(a for a in instances["annotations"] if isinstance(a["segmentation"], dict))
    assert mask_util.area(rle["segmentation"]) == rle["area"]
