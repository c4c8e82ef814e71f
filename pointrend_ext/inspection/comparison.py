"""Pictures of two models' saved predictions beside the ground truth."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pointrend_ext.data.coco import picture_path
from pointrend_ext.data.label_maps import read_label_map
from pointrend_ext.data.pixels import ANY_SIZE
from pointrend_ext.data.reading import read_image_rgb
from pointrend_ext.evaluation.masks import decode_mask, mask_iou
from pointrend_ext.evaluation.offline import InstanceData, SemanticData, find_data_set
from pointrend_ext.evaluation.offline.label_files import open_predicted_labels
from pointrend_ext.evaluation.results_file import load_results
from pointrend_ext.visualization import (
    Column,
    class_colors,
    compare_panel,
    draw_label_map,
    mark_window,
    pick_zoom_window,
    stack_rows,
    titled_columns,
    write_image,
    zoom_panel,
)

_ZOOM_PX = 72
_MIN_OBJECT_AREA_PX = 64 * 64
_MIN_IOU = 0.5
_MIN_SCORE = 0.5  # weaker instances are not drawn
_TRUTH = "Ground truth"


@dataclass(frozen=True)
class _Candidate:
    """An image that may be shown: the higher its merit, the earlier.

    Of several groups, each gives one picture before any gives a second.
    """

    merit: float
    group: int
    file_name: str
    draw: Callable[[np.ndarray], np.ndarray]


def write_comparisons(
    predictions: Mapping[str, Path],
    dataset_name: str,
    output_dir: Path,
    *,
    num_pictures: int = 6,
) -> list[Path]:
    """Draw the predictions of two models; the choice never asks which model is ahead.

    Each picture has the ground truth and the predictions of both models on the whole image and,
    below, zoomed to the piece of one outline where the models differ most. Instances of a score
    below 0.5 are left out.

    Of instances, the outline is that of the object which both found best: of all objects of at
    least 64 x 64 pixels the one whose lower IoU of the two is highest. Images come in the same
    order, one per category before any category comes twice. Of label maps, the images come first in
    which most pixels differ, and the outline is that of the class that differs most.

    Args:
        predictions: two models' names and what they predicted: COCO's results format; of label
            maps a folder of them, or ``sem_seg_predictions.json``.
        dataset_name: a registered data set.
        output_dir: where the PNG files go; created.
        num_pictures: at most so many.

    Raises:
        ValueError: an unknown data set, or predictions of another one.
    """
    data = find_data_set(dataset_name)
    if isinstance(data, InstanceData):
        candidates = _of_instances(data, predictions)
    else:
        candidates = _of_labels(data, predictions)
    written = []
    for candidate in _take_turns(list(candidates))[:num_pictures]:
        path = output_dir / f"{Path(candidate.file_name).stem}.png"
        while path in written:  # of an image of that name in another folder
            path = path.with_stem(f"{path.stem}_2")
        write_image(path, candidate.draw(read_image_rgb(candidate.file_name, ANY_SIZE)))
        written.append(path)
    return written


def _take_turns(candidates: Sequence[_Candidate]) -> list[_Candidate]:
    """Order by merit, taking a group again only after every other one."""
    seen: Counter[int] = Counter()
    turns = []
    for candidate in sorted(candidates, key=lambda c: -c.merit):
        turns.append((seen[candidate.group], candidate))
        seen[candidate.group] += 1
    return [candidate for _, candidate in sorted(turns, key=lambda turn: turn[0])]


class _Object(NamedTuple):
    """A mask (H, W) bool, its category and what is written beside it."""

    mask: np.ndarray
    category_id: int
    label: str


def _of_instances(data: InstanceData, predictions: Mapping[str, Path]) -> Iterator[_Candidate]:
    truth, names = data.truth, data.truth.class_names
    entries = {_TRUTH: [a for a in truth.dataset["annotations"] if a.get("segmentation")]}
    entries |= {t: load_results(path, truth, ("segm",)) for t, path in predictions.items()}
    by_image: defaultdict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for title, found in entries.items():
        for e in found:
            if not e.get("iscrowd", 0) and e.get("score", 1) >= _MIN_SCORE:
                by_image[title, e["image_id"]].append(e)

    def decode(entry: dict[str, Any]) -> _Object:
        mask = decode_mask(entry["segmentation"], truth.sizes_hw[entry["image_id"]])
        score = f" {entry['score']:.2f}" if "score" in entry else ""
        return _Object(mask, entry["category_id"], names[entry["category_id"]] + score)

    def objects_in(image_id: int) -> dict[str, list[_Object]]:
        return {title: [decode(e) for e in by_image[title, image_id]] for title in entries}

    for image_id, name in data.image_files().items():
        true, *predicted = objects_in(image_id).values()
        index, iou = _found_by_all(true, predicted)
        if iou >= _MIN_IOU:
            draw = partial(_draw_objects, objects_in, image_id, index)
            file_name = picture_path(data.image_root or "", name)
            yield _Candidate(iou, true[index].category_id, file_name, draw)


def _best(objects: Sequence[_Object], mask: np.ndarray) -> tuple[int, float]:
    """Return the number of the object that overlaps ``mask`` (H, W) most, and their IoU."""
    ious = [mask_iou(x.mask, mask) for x in objects]
    return max(enumerate(ious), key=lambda entry: entry[1], default=(-1, 0.0))


def _found_by_all(
    truth: Sequence[_Object], predicted: Sequence[Sequence[_Object]]
) -> tuple[int, float]:
    """Return the object that the worst of the models found best, and with which IoU."""
    ious = {
        index: min(_best(objects, true.mask)[1] for objects in predicted)
        for index, true in enumerate(truth)
        if true.mask.sum() >= _MIN_OBJECT_AREA_PX
    }
    return max(ious.items(), key=lambda entry: entry[1], default=(-1, 0.0))


def _draw_objects(
    objects_in: Callable[[int], dict[str, list[_Object]]],
    image_id: int,
    index: int,
    image: np.ndarray,
) -> np.ndarray:
    objects = objects_in(image_id)
    target = objects[_TRUTH][index].mask
    shown = {title: found[_best(found, target)[0]].mask for title, found in objects.items()}
    _, first, second = shown.values()
    window = pick_zoom_window(first, second, target, _ZOOM_PX)
    columns = [
        Column(title, np.stack([x.mask for x in found]), None, [x.label for x in found])
        for title, found in objects.items()
    ]
    whole = compare_panel(mark_window(image, window), columns)
    scale = _scale(image, window)
    return stack_rows([whole, zoom_panel(image, list(shown.items()), window, scale, smooth=False)])


def _of_labels(data: SemanticData, predictions: Mapping[str, Path]) -> Iterator[_Candidate]:
    models = {title: open_predicted_labels(path, data) for title, path in predictions.items()}
    colors = class_colors(len(data.class_names), data.class_colors)

    def maps_of(number: int) -> dict[str, np.ndarray]:
        truth = read_label_map(data.truth_files[number], data.encoding)
        size_hw = truth.shape[0], truth.shape[1]
        return {_TRUTH: truth, **{t: m.labels(number, size_hw) for t, m in models.items()}}

    for number, file_name in enumerate(data.image_files):
        truth, first, second = maps_of(number).values()
        differing = ((first != second) & (truth != data.ignore_label)).mean()
        yield _Candidate(differing, number, file_name, partial(_draw_maps, maps_of, number, colors))


def _draw_maps(
    maps_of: Callable[[int], dict[str, np.ndarray]],
    number: int,
    colors: np.ndarray,
    image: np.ndarray,
) -> np.ndarray:
    maps = maps_of(number)
    truth, first, second = maps.values()
    changes = [((first == c) != (second == c)).sum() for c in range(len(colors))]
    focus = int(np.argmax(changes))
    window = pick_zoom_window(first == focus, second == focus, truth == focus, _ZOOM_PX)
    x0, y0, x1, y1 = window

    def row(image: np.ndarray, piece: tuple[slice, slice], scale: int) -> np.ndarray:
        cells = [draw_label_map(image, m[piece], colors, scale=scale) for m in maps.values()]
        return titled_columns(list(maps), cells, bar_px=None if scale == 1 else 0, gap_px=6)

    piece = np.s_[y0:y1, x0:x1]
    whole = row(mark_window(image, window), np.s_[:, :], 1)
    return stack_rows([whole, row(image[piece], piece, _scale(image, window))])


def _scale(image: np.ndarray, window: tuple[int, int, int, int]) -> int:
    """Return how often a window is enlarged to be as wide as the image."""
    return max(1, image.shape[1] // (window[2] - window[0]))
