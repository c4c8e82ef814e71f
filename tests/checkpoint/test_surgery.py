"""Class-count surgery: every row and column of small tensors, by hand."""

from __future__ import annotations

import pytest
import torch

from pointrend_ext.checkpoint import (
    INSTANCE,
    SEMANTIC,
    ClassMap,
    adapt_classes,
    known_class_names,
    map_by_name,
)
from pointrend_ext.checkpoint.class_axes import count_classes
from tests.checkpoint.helpers import assert_same

BOX = "roi_heads.box_predictor."
MASK = "roi_heads.mask_head."
POINT = f"{MASK}point_head."


def numbered(shapes, start):
    """Tensors in which each number occurs once."""
    return {
        name: start + 1000 * i + torch.arange(float(torch.Size(shape).numel())).reshape(shape)
        for i, (name, shape) in enumerate(shapes.items())
    }


def head_state(classes, start, *, width=2, fine=3, side=2, boxes=None, coarse_each_layer=True):
    """All class-specific tensors of a tiny instance model, each number occurring once."""
    boxes = 4 * classes if boxes is None else boxes
    extra = classes if coarse_each_layer else 0
    shapes = {
        f"{BOX}cls_score.weight": (classes + 1, width),
        f"{BOX}cls_score.bias": (classes + 1,),
        f"{BOX}bbox_pred.weight": (boxes, width),
        f"{BOX}bbox_pred.bias": (boxes,),
        f"{MASK}coarse_head.fc1.weight": (width, 5),
        f"{MASK}coarse_head.prediction.weight": (classes * side**2, width),
        f"{MASK}coarse_head.prediction.bias": (classes * side**2,),
        f"{POINT}fc1.weight": (width, fine + classes, 1),
        f"{POINT}fc1.bias": (width,),
        f"{POINT}fc2.weight": (width, width + extra, 1),
        f"{POINT}predictor.weight": (classes, width + extra, 1),
        f"{POINT}predictor.bias": (classes,),
    }
    return numbered(shapes, start)


def instance_map(*sources, old):
    return {INSTANCE: ClassMap(sources, old)}


# Old: 3 classes; new: 2, of which the first was the old last one and the second is new.


@pytest.fixture
def adapted():
    old, new = head_state(3, 0), head_state(2, 500_000)
    class_map = instance_map(2, None, old=3)
    state, entries = adapt_classes(old, new, class_map=class_map)
    return old, new, state, {entry.name: entry for entry in entries}


def four_rows_per_class(old, new):
    return torch.cat([old[8:12], new[4:8]])


def background_kept(old, new):
    return torch.stack([old[2], new[1], old[3]])


def columns_after(kept):
    """Fine or hidden features, then one column per class."""
    return lambda old, new: torch.cat(
        [old[:, :kept], old[:, kept + 2 : kept + 3], new[:, kept + 1 :]], dim=1
    )


def rows_and_columns(old, new):
    return torch.stack([torch.stack([old[2, 0], old[2, 1], old[2, 4], new[0, 3]]), new[1]])


ADAPTED = {
    f"{BOX}cls_score.weight": background_kept,
    f"{BOX}cls_score.bias": background_kept,
    f"{BOX}bbox_pred.weight": four_rows_per_class,
    f"{BOX}bbox_pred.bias": four_rows_per_class,
    f"{MASK}coarse_head.fc1.weight": lambda old, new: old,
    f"{MASK}coarse_head.prediction.weight": four_rows_per_class,  # class-major, side 2
    f"{MASK}coarse_head.prediction.bias": four_rows_per_class,
    f"{POINT}fc1.weight": columns_after(3),
    f"{POINT}fc1.bias": lambda old, new: old,
    f"{POINT}fc2.weight": columns_after(2),
    f"{POINT}predictor.weight": rows_and_columns,
    f"{POINT}predictor.bias": lambda old, new: torch.stack([old[2], new[1]]),
}


@pytest.mark.parametrize("name", ADAPTED)
def test_what_belongs_to_a_class_moves_with_it(adapted, name):
    old, new, state, _ = adapted
    assert state.keys() == ADAPTED.keys()
    assert_same(state[name], ADAPTED[name](old[name], new[name]))


def test_the_rest_is_untouched_and_the_report_lists_the_others(adapted):
    old, new, state, entries = adapted
    untouched = [f"{MASK}coarse_head.fc1.weight", f"{POINT}fc1.bias"]
    assert [name for name in old if name not in entries] == untouched
    assert all(state[name] is old[name] for name in untouched)
    assert {entry.status for entry in entries.values()} == {"partly re-initialised"}
    text = "1 of 2 classes taken from 3, 1 new"
    assert entries[f"{BOX}cls_score.bias"].detail == text
    assert entries[f"{POINT}fc2.weight"].detail == f"{text}; all other columns kept"
    assert_same(old, head_state(3, 0))  # inputs are unchanged
    assert_same(new, head_state(2, 500_000))


def test_without_a_map_all_classes_are_new_and_all_else_is_kept():
    old, new = head_state(3, 0), head_state(5, 500_000)
    state, _ = adapt_classes(old, new)
    name = f"{BOX}cls_score.weight"
    assert_same(state[name], torch.cat([new[name][:5], old[name][3:]]))
    name = f"{POINT}fc1.weight"
    assert_same(state[name], torch.cat([old[name][:, :3], new[name][:, 3:]], dim=1))
    for name in (f"{BOX}bbox_pred.bias", f"{POINT}predictor.weight"):
        assert_same(state[name], new[name])


def test_equal_classes_change_nothing():
    old, new = head_state(3, 0), head_state(3, 500_000)
    for class_map in (None, instance_map(0, 1, 2, old=3)):
        state, entries = adapt_classes(old, new, class_map=class_map)
        assert entries == []
        assert all(state[name] is old[name] for name in old)


def test_a_permutation_of_equally_many_classes_is_applied():
    old, new = head_state(3, 0), head_state(3, 500_000)
    state, entries = adapt_classes(old, new, class_map=instance_map(2, 0, 1, old=3))
    assert {entry.status for entry in entries} == {"mapped"}
    name = f"{POINT}predictor.weight"
    assert_same(state[name], old[name][[2, 0, 1]][:, [0, 1, 4, 2, 3]])
    name = f"{BOX}cls_score.bias"
    assert_same(state[name], old[name][[2, 0, 1, 3]])


def test_class_agnostic_boxes_belong_to_no_class():
    old, new = head_state(3, 0, boxes=4), head_state(2, 500_000, boxes=4)
    state, entries = adapt_classes(old, new)
    assert state[f"{BOX}bbox_pred.weight"] is old[f"{BOX}bbox_pred.weight"]
    assert f"{BOX}bbox_pred.weight" not in {entry.name for entry in entries}


def test_layers_without_coarse_columns_are_not_permuted():
    """As wide as the classes are many: only the layer before tells which columns these are."""
    old = head_state(2, 0, coarse_each_layer=False)
    new = head_state(2, 500_000, coarse_each_layer=False)
    state, _ = adapt_classes(old, new, class_map=instance_map(1, 0, old=2))
    assert state[f"{POINT}fc2.weight"] is old[f"{POINT}fc2.weight"]
    name = f"{POINT}predictor.weight"
    assert_same(state[name], old[name][[1, 0]])
    name = f"{POINT}fc1.weight"
    assert_same(state[name], old[name][:, [0, 1, 2, 4, 3]])


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"fine": 4}, f"{POINT}fc1.weight"),
        ({"width": 3}, f"{BOX}cls_score.weight"),
        ({"side": 3}, f"{MASK}coarse_head.prediction.weight"),
        ({"coarse_each_layer": False}, f"{POINT}fc2.weight"),
    ],
)
def test_what_differs_in_more_than_classes_is_left(change, name):
    old = head_state(3, 0)
    state, entries = adapt_classes(old, head_state(2, 0, **change))
    assert state[name] is old[name]
    assert name not in {entry.name for entry in entries}


def test_class_agnostic_masks_have_one_class():
    """Boxes change from 3 to 2 classes; a shared mask stays."""
    old, new = head_state(3, 0), head_state(2, 500_000)
    for state, start in ((old, 0), (new, 500_000)):
        shared = head_state(1, start)
        state.update({name: value for name, value in shared.items() if name.startswith(MASK)})
    assert count_classes(old, INSTANCE) == 3
    state, entries = adapt_classes(old, new, class_map=instance_map(0, 1, old=3))
    assert all(entry.name.startswith(BOX) for entry in entries)
    assert all(state[name] is old[name] for name in old if name.startswith(MASK))


def test_shared_masks_into_masks_per_class_keep_fine_columns():
    old, new = head_state(1, 0), head_state(2, 500_000)
    # a map of other numbers of classes does not apply to this head
    state, _ = adapt_classes(old, new, class_map=instance_map(0, 1, old=3))
    name = f"{POINT}fc1.weight"
    assert_same(state[name], torch.cat([old[name][:, :3], new[name][:, 3:]], dim=1))


def test_cascades_and_mask_rcnn():
    names = [f"roi_heads.box_predictor.{i}.cls_score.weight" for i in range(2)]
    mask = "roi_heads.mask_head.predictor.weight"
    old = numbered({**dict.fromkeys(names, (4, 2)), mask: (3, 2, 1, 1)}, 0)
    new = numbered({**dict.fromkeys(names, (3, 2)), mask: (2, 2, 1, 1)}, 500_000)
    state, _ = adapt_classes(old, new, class_map=instance_map(None, 0, old=3))
    for name in names:
        assert_same(state[name], torch.stack([new[name][0], old[name][0], old[name][3]]))
    assert_same(state[mask], torch.stack([new[mask][0], old[mask][0]]))


@pytest.mark.parametrize("prefix", ["sem_seg_head.", "sem_seg_head.coarse_sem_seg_head."])
@pytest.mark.parametrize("auxiliary", ["auxiliary.", "auxiliary.0."])
@pytest.mark.parametrize("by_name", [True, False])
def test_semantic_heads(prefix, auxiliary, by_name):
    """The second of three classes and a new one; without names both are new."""
    point = "sem_seg_head.point_head."
    predictors = [
        f"{module}predictor.{kind}"
        for module in (prefix, f"{prefix}{auxiliary}", point)
        for kind in ("weight", "bias")
    ]

    def state(classes, start):
        rows = {n: (classes, 2, 1)[: 3 if n.endswith("weight") else 1] for n in predictors}
        columns = {f"{point}fc1.weight": (2, 3 + classes, 1), f"{point}fc2.weight": (2, 2, 1)}
        return numbered({**rows, **columns}, start)

    old, new = state(3, 0), state(2, 500_000)
    assert count_classes(old, SEMANTIC) == 3
    assert count_classes(old, INSTANCE) is None
    class_map = {SEMANTIC: ClassMap((1, None), 3)} if by_name else None
    got, entries = adapt_classes(old, new, class_map=class_map)
    assert [entry.name for entry in entries] == [n for n in old if "fc2" not in n]
    for name in predictors:
        first = old[name][1] if by_name else new[name][0]
        assert_same(got[name], torch.stack([first, new[name][1]]))
    name = f"{point}fc1.weight"
    first = old[name][:, 4:5] if by_name else new[name][:, 3:4]
    assert_same(got[name], torch.cat([old[name][:, :3], first, new[name][:, 4:]], dim=1))
    assert got[f"{point}fc2.weight"] is old[f"{point}fc2.weight"]


# ---- names


def test_names_are_normalised():
    old = ["person", "Traffic Light", "hair-drier"]
    assert map_by_name(old, ["hair_drier", "traffic  light", "dog"]) == ClassMap((2, 1, None), 3)


@pytest.mark.parametrize(("old", "new"), [(["a b", "A_B"], ["x"]), (["x"], ["dog", "Dog"])])
def test_ambiguous_names_are_refused(old, new):
    with pytest.raises(ValueError, match="have the same name"):
        map_by_name(old, new)


@pytest.mark.parametrize(
    ("kind", "count", "at"),
    [
        (INSTANCE, 80, {0: "person", 14: "bird", 79: "toothbrush"}),
        (INSTANCE, 8, {0: "person", 7: "bicycle"}),
        (SEMANTIC, 54, {0: "things", 1: "banner"}),
        (SEMANTIC, 19, {0: "road", 13: "car", 18: "bicycle"}),
    ],
)
def test_known_names(kind, count, at):
    names = known_class_names(kind, count)
    assert len(names) == count
    assert {i: names[i] for i in at} == at
    assert known_class_names(kind, 5) is None
