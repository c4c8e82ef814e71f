"""Annotations and results in COCO's format: what writers do wrong, and what nobody can find."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from pycocotools import mask as mask_util

from tests.fuzz.base import CATEGORIES, HEIGHT, WIDTH, decode, runs_of
from tests.fuzz.trees import Change, read_tree

ABSENT = object()


def _set(title: str, key: str, *values: Any, part: str = "annotations") -> dict[str, Change]:
    """Return a change per value: one, half or all entries of a part get it; results are a list.

    A function is called with the old value; ``ABSENT`` leaves the key out.
    """

    def change_to(value: Any) -> Change:
        def change(rng: Random, content: Any) -> None:
            entries = content[part] if isinstance(content, dict) else content
            number = rng.choice([1, max(1, len(entries) // 2), len(entries)])
            for entry in rng.sample(entries, number):
                if value is ABSENT:
                    del entry[key]
                else:
                    entry[key] = value(entry[key]) if callable(value) else value

        return change

    titles = [title if callable(v) or v is ABSENT else f"{title} {v!r}" for v in values]
    numbered = [f"{t} ({n})" if titles.count(t) > 1 else t for n, t in enumerate(titles)]
    return {t: change_to(value) for t, value in zip(numbered, values, strict=True)}


def _ids(title: str, convert: Callable[[int], Any], part: str, refers: str = "") -> dict:
    """Return a change of all ids of a part, and of what refers to them."""

    def change(rng: Random, content: dict) -> None:
        for entry in content[part]:
            entry["id"] = convert(entry["id"])
        for entry in content["annotations"] if refers else ():
            entry[refers] = convert(entry[refers])

    return {title: change}


def _masks(title: str, kind: type, convert: Callable[[Any], Any]) -> dict[str, Change]:
    """Return a change of the masks that are polygons (list), or of the counts of runs (dict)."""

    def one(mask: Any) -> Any:
        if not isinstance(mask, kind):
            return mask
        if kind is list:
            return convert(mask)
        counts = mask["counts"]
        return {**mask, "counts": convert(counts) if isinstance(counts, list) else counts}

    def change(rng: Random, content: dict) -> None:
        entries = content["annotations"]
        entries = rng.choice([entries[:4], entries])
        for entry in entries:
            entry["segmentation"] = one(entry["segmentation"])

    return {title: change}


def _points(polygons: list) -> list:
    return np.reshape(polygons[0], (-1, 2)).tolist()


def _with_size(mask: Any, *size: int) -> Any:
    return {**mask, "size": [*size]} if isinstance(mask, dict) else mask


def _again(entries: list[dict], **changes: Any) -> None:
    entries.append({**entries[0], **changes})


BOXES: dict[str, Change] = {
    **_set("boxes as corners", "bbox", lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]),
    **_set("boxes as centres", "bbox", lambda b: [b[0] + b[2] / 2, b[1] + b[3] / 2, b[2], b[3]]),
    **_set("boxes as shares", "bbox", lambda b: np.divide(b, [WIDTH, HEIGHT] * 2).tolist()),
    **_set("boxes with y before x", "bbox", lambda b: [b[1], b[0], b[3], b[2]]),
    **_set("boxes of half the size", "bbox", lambda b: [v / 2 for v in b]),
    **_set("boxes outside", "bbox", lambda b: [b[0] + 500, *b[1:]]),
    **_set("boxes", "bbox", [], None, [1, 2, 3], [1, 2, 0, 0], [1, 2, -3, 4], "1 2 3", ["a"] * 4),
    **_set("no box", "bbox", ABSENT),
    **_set("masks", "segmentation", [], None, {}, [[]], "", "abc", {"size": [6, 8]}, ABSENT),
    **_set("garbage for a mask", "segmentation", {"size": [HEIGHT, WIDTH], "counts": "PPP0~~zz"}),
    **_set("runs too short", "segmentation", {"size": [HEIGHT, WIDTH], "counts": [100, 50]}),
    **_set("empty masks", "segmentation", {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}),
    **_set("masks of another image", "segmentation", {"size": [6, 8], "counts": [10, 38]}),
    **_set("an odd mask", "segmentation", {"size": [HEIGHT, WIDTH], "counts": [100, 50, 2922]}),
}  # fmt: skip

ANNOTATIONS: dict[str, Change] = {
    **BOXES,
    **_set("iscrowd", "iscrowd", None, "0", "1", 2, -1, True, "false", 0.0, 1, ABSENT),
    **_set("area", "area", None, 0, -5.0, 1e9, "big", lambda a: a * 1000, ABSENT),
    **_set("category name", "name", 7, "disc", "", None, ["a"], part="categories"),
    **_set("width", "width", float, str, HEIGHT, 0, -WIDTH, None, WIDTH + 0.5, part="images"),
    **_set("file", "file_name", "train_11.png", "val_51.png", "", "..", "no.png", part="images"),
    **_set("path", "file_name", lambda f: f"./{f}", str.upper, lambda f: "a\\" + f, part="images"),
    **_ids("annotation ids from 0", lambda k: k - 101, "annotations"),
    **_ids("annotation ids negative", lambda k: -k, "annotations"),
    **_ids("annotation ids as texts", lambda k: f"a{k}", "annotations"),
    **_ids("annotation ids all equal", lambda k: 7, "annotations"),
    **_ids("image ids as texts", str, "images", "image_id"),
    **_ids("image ids from 0", lambda k: k % 10 - 1, "images", "image_id"),
    **_ids("image ids as texts on one side", str, "images"),
    **_ids("category ids as texts", str, "categories", "category_id"),
    **_ids("category ids as texts on one side", str, "categories"),
    **_ids("category ids from 0", lambda k: (k - 3) // 2, "categories", "category_id"),
    **_ids("category ids as floats", float, "categories", "category_id"),
    **_masks("flat polygons", list, lambda p: p[0]),
    **_masks("polygons of points", list, _points),
    **_masks("polygons of lists of points", list, lambda p: [_points(p)]),
    **_masks("polygons of x and y", list, lambda p: [{"x": x, "y": y} for x, y in _points(p)]),
    **_masks("polygons as shares", list, lambda p: [[v / WIDTH for v in q] for q in p]),
    **_masks("polygons with y before x", list, lambda p: [np.flip(_points(p), 1).ravel().tolist()]),
    **_masks("polygons of two points", list, lambda p: [p[0][:4]]),
    **_masks("polygons of an odd number", list, lambda p: [p[0][:-1]]),
    **_masks("polygons a bit outside", list, lambda p: [[v - 12 for v in q] for q in p]),
    **_masks("polygons outside", list, lambda p: [[v + 1000 for v in q] for q in p]),
    **_masks("polygons far outside", list, lambda p: [[v + 1e9 for v in q] for q in p]),
    **_masks("polygons and one of no area", list, lambda p: [*p, [5, 5, 5, 5, 5, 5]]),
    **_masks("polygons as text", list, json.dumps),
    **_masks("polygons of texts", list, lambda p: [[str(v) for v in q] for q in p]),
    **_masks("runs without the last", dict, lambda c: c[:-1]),
    **_masks("runs too long", dict, lambda c: [*c, 5]),
    **_masks("runs negative", dict, lambda c: [-c[0], c[0] * 2, *c[1:]]),
    **_masks("runs as floats", dict, lambda c: [float(v) for v in c]),
    **_masks("runs as texts", dict, lambda c: [str(v) for v in c]),
    **_masks("runs begin inside", dict, lambda c: [0, *c]),
    **_masks("runs row by row", dict, lambda c: runs_of(_mask_of(c), "C")),
    **_set("size of masks swapped", "segmentation", lambda s: _with_size(s, WIDTH, HEIGHT)),
    "no annotation": lambda rng, content: content["annotations"].clear(),
    "no image": lambda rng, content: content["images"].clear(),
    "no category": lambda rng, content: content["categories"].clear(),
    "an image twice": lambda rng, content: _again(content["images"]),
    "an object twice": lambda rng, content: _again(content["annotations"]),
    "an object again": lambda rng, content: _again(content["annotations"], id=998),
    "a file of two images": lambda rng, content: _again(content["images"], id=999),
}  # fmt: skip

RESULTS: dict[str, Change] = {
    **BOXES,
    **_set("score", "score", None, math.nan, math.inf, 1.0, "a", True, str, ABSENT),
    **_set("scores in per cent", "score", lambda s: 100 * s),
    **_set("scores negative", "score", lambda s: -s),
    **_set("image id", "image_id", 0, -1, 999, None, [51], str, float, lambda k: k - 50, ABSENT),
    **_set("category id", "category_id", 0, 4, 9999, None, "disc", str, float, ABSENT),
    **_set("category ids from 0", "category_id", lambda k: k - 1),
    **_set("size of masks swapped", "segmentation", lambda s: _with_size(s, WIDTH, HEIGHT)),
    **_set("masks of half the size", "segmentation", lambda s: _with_size(s, 24, 32)),
    "no entry": lambda rng, entries: entries.clear(),
    "an entry twice": lambda rng, entries: entries.append({**entries[0]}),
    "all twice": lambda rng, entries: entries * 2,
    "another order": lambda rng, entries: rng.shuffle(entries),
    "more keys": lambda rng, entries: [{**entry, "id": 3} for entry in entries],
    "below a key": lambda rng, entries: {"annotations": entries},
    "by image": lambda rng, entries: {str(e["image_id"]): e for e in entries},
    "one entry": lambda rng, entries: entries[0],
    "nested": lambda rng, entries: [entries],
    "a number": lambda rng, entries: 5,
    "with a null": lambda rng, entries: [*entries, None],
    "with a text": lambda rng, entries: [*entries, "end"],
    "neither box nor mask": lambda rng, entries: [
        {k: v for k, v in e.items() if k not in ("bbox", "segmentation")} for e in entries
    ],
}  # fmt: skip


def _mask_of(counts: list) -> np.ndarray:
    return decode({"size": [HEIGHT, WIDTH], "counts": counts})


# ---- oracles: whether no checker could object, so that the file just says something else


def is_plausible(file: Path, folder: Path | None = None) -> bool:
    """Tell whether types, references and sizes are right, and box, area and mask agree.

    The images must lie in the folder, if one is given.
    """
    content = read_tree(file)
    images, entries = content["images"], content["annotations"]
    ids = [[e["id"] for e in content[part]] for part in ("images", "categories", "annotations")]
    names = [c["name"] for c in content["categories"]]
    files = [image["file_name"] for image in images]
    return (
        all(len(set(own)) == len(own) for own in (*ids, names, files))
        and all(type(k) is int and k > 0 for own in ids for k in own)
        and all(isinstance(name, str | int) and name != "" for name in names)
        and (not folder or all((folder / name).is_file() for name in files))
        and all((image["width"], image["height"]) == (WIDTH, HEIGHT) for image in images)
        and all(e["image_id"] in ids[0] and e["category_id"] in ids[1] for e in entries)
        and all(_is_right_shape(entry) and _has_right_area(entry) for entry in entries)
        and all(entry.get("iscrowd") in (None, 0, 1) for entry in entries)
        and not all(entry.get("iscrowd") for entry in entries)
        and len(names) == len(CATEGORIES)
    )


def are_plausible_results(project: Path) -> bool:
    """Tell whether ids, scores and masks are right, and no entry is there twice."""
    entries = read_tree(project / "predictions.json")
    keys = [str({k: v for k, v in entry.items() if k != "id"}) for entry in entries]
    return 0 < len(set(keys)) == len(keys) and all(
        entry["image_id"] in (51, 52)
        and entry["category_id"] in CATEGORIES
        and type(entry["score"]) in (int, float)
        and 0 <= entry["score"] <= 1
        and isinstance(entry["segmentation"], dict)
        and _is_right_shape(entry)
        for entry in entries
    )


def _has_right_area(entry: dict) -> bool:
    return 0.2 < entry["area"] / decode(entry["segmentation"]).sum() < 5


def _is_right_shape(entry: dict) -> bool:
    """Tell whether box and mask are right, and share seven tenths of their extent."""
    (x, y, w, h), shape = entry["bbox"], entry["segmentation"]
    if isinstance(shape, list):
        is_right = all(
            len(polygon) >= 6
            and len(polygon) % 2 == 0
            and all(math.isfinite(v) and -2 <= v <= WIDTH + 2 for v in polygon)
            for polygon in shape
        )
    else:
        counts = shape["counts"]
        fills = isinstance(counts, str) or (sum(counts) == HEIGHT * WIDTH and min(counts) >= 0)
        is_right = shape["size"] == [HEIGHT, WIDTH] and fills
    if not is_right or w <= 0 or h <= 0:
        return False
    bounds = mask_util.toBbox(mask_util.encode(np.asfortranarray(decode(shape))))
    return mask_util.iou([[x, y, w, h]], [bounds.tolist()], [0])[0, 0] >= 0.7
