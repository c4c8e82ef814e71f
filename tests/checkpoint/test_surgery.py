"""Class-count surgery: every element of small tensors, found one by one."""

import itertools

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
SEM_SEG = "sem_seg_head."

# Of each layer's weight, per axis: indices before the classes, of each class, and behind them. The
# bias has the first axis alone.
HIDDEN, ONE = (2, 0, 0), (1, 0, 0)
SCORES, FOUR_EACH = [(0, 1, 1), HIDDEN], [(0, 4, 0), HIDDEN]
HEAD = {
    f"{BOX}cls_score": SCORES,
    f"{BOX}bbox_pred": FOUR_EACH,
    f"{MASK}coarse_head.fc1": [HIDDEN, (5, 0, 0)],
    f"{MASK}coarse_head.prediction": FOUR_EACH,  # class-major, of side 2
    f"{POINT}fc1": [HIDDEN, (3, 1, 0), ONE],
    f"{POINT}fc2": [HIDDEN, (2, 1, 0), ONE],
    f"{POINT}predictor": [(0, 1, 0), (2, 1, 0), ONE],
}
COARSE_ONCE = {f"{POINT}fc2": [HIDDEN, HIDDEN, ONE], f"{POINT}predictor": [(0, 1, 0), HIDDEN, ONE]}
CASCADE = {
    f"{BOX}0.cls_score": SCORES,
    f"{BOX}1.cls_score": SCORES,
    f"{MASK}predictor": [(0, 1, 0), HIDDEN, ONE, ONE],
}


def semantic_head(prefix, auxiliary):
    modules = (prefix, f"{prefix}{auxiliary}", f"{SEM_SEG}point_head.")
    return {
        **{f"{module}predictor": [(0, 1, 0), HIDDEN, ONE] for module in modules},
        f"{SEM_SEG}point_head.fc1": [HIDDEN, (3, 1, 0), ONE],
        f"{SEM_SEG}point_head.fc2": [HIDDEN, HIDDEN, ONE],
    }


def axes_of(layers):
    """Name -> axes, of weights and biases."""
    weights = {f"{layer}.weight": axes for layer, axes in layers.items()}
    return {**weights, **{f"{layer}.bias": axes[:1] for layer, axes in layers.items()}}


def make_state(layers, classes, start=0):
    """Tensors in which each number occurs once."""
    state = {}
    for i, (name, axes) in enumerate(axes_of(layers).items()):
        shape = torch.Size(before + classes * each + behind for before, each, behind in axes)
        state[name] = start + 1000 * i + torch.arange(float(shape.numel())).reshape(shape)
    return state


def source_index(index, axis, sources, old_classes):
    before, each, _ = axis
    if index < before:
        return index
    place = (index - before) // each
    if place >= len(sources):
        return index + (old_classes - len(sources)) * each
    return None if sources[place] is None else index + (sources[place] - place) * each


def expected(axes, old, new, sources, old_classes):
    """Find each element in the old tensor; it is the new one's where it belongs to a new class."""
    result = new.clone()
    for index in itertools.product(*map(range, new.shape)):
        found = [
            source_index(i, axis, sources, old_classes) for i, axis in zip(index, axes, strict=True)
        ]
        if None not in found:
            result[index] = old[tuple(found)]
    return result


NEW = (None,) * 5
CASES = {
    "one found, one new": (HEAD, 3, (2, None), True),
    "no map": (HEAD, 3, NEW, False),
    "a permutation": (HEAD, 3, (2, 0, 1), True),
    "shared boxes": ({**HEAD, f"{BOX}bbox_pred": [(4, 0, 0), HIDDEN]}, 3, NEW, False),
    # as wide as the classes are many: only the layer before tells which columns these are
    "no coarse columns behind the first layer": ({**HEAD, **COARSE_ONCE}, 2, (1, 0), True),
    "cascade and Mask R-CNN": (CASCADE, 3, (None, 0), True),
    **{
        f"{prefix}{auxiliary}, {by_name}": (semantic_head(prefix, auxiliary), 3, sources, by_name)
        for prefix in (SEM_SEG, f"{SEM_SEG}coarse_sem_seg_head.")
        for auxiliary in ("auxiliary.", "auxiliary.0.")
        for sources, by_name in (((1, None), True), (NEW[:2], False))
    },
}


@pytest.mark.parametrize("case", CASES)
def test_what_belongs_to_a_class_moves_with_it(case):
    layers, old_classes, sources, is_mapped = CASES[case]
    kind, other = (SEMANTIC, INSTANCE) if SEM_SEG in case else (INSTANCE, SEMANTIC)
    old, new = make_state(layers, old_classes), make_state(layers, len(sources), 500_000)
    assert count_classes(old, kind) == old_classes
    assert count_classes(old, other) is None
    class_map = {kind: ClassMap(sources, old_classes)} if is_mapped else None
    got, entries = adapt_classes(old, new, class_map=class_map)
    assert got.keys() == old.keys()
    changed = []
    for name, axes in axes_of(layers).items():
        assert_same(got[name], expected(axes, old[name], new[name], sources, old_classes))
        if any(each for _, each, _ in axes):
            changed.append(name)
        else:
            assert got[name] is old[name]
    assert [entry.name for entry in entries] == changed
    status = "partly re-initialised" if None in sources else "mapped"
    assert {entry.status for entry in entries} == {status}
    assert_same(old, make_state(layers, old_classes))  # inputs are unchanged
    assert_same(new, make_state(layers, len(sources), 500_000))


def test_the_report_says_what_is_new():
    class_map = {INSTANCE: ClassMap((2, None), 3)}
    _, entries = adapt_classes(make_state(HEAD, 3), make_state(HEAD, 2), class_map=class_map)
    details, text = {e.name: e.detail for e in entries}, "1 of 2 classes taken from 3, 1 new"
    assert details[f"{BOX}cls_score.bias"] == text
    assert details[f"{POINT}fc2.weight"] == f"{text}; all other columns kept"


@pytest.mark.parametrize("class_map", [None, {INSTANCE: ClassMap((0, 1, 2), 3)}])
def test_equal_classes_change_nothing(class_map):
    old = make_state(HEAD, 3)
    state, entries = adapt_classes(old, make_state(HEAD, 3, 500_000), class_map=class_map)
    assert entries == []
    assert all(state[name] is old[name] for name in old)


@pytest.mark.parametrize(
    ("layer", "axes"),
    [
        (f"{POINT}fc1", [HIDDEN, (4, 1, 0), ONE]),
        (f"{BOX}cls_score", [(0, 1, 1), (3, 0, 0)]),
        (f"{MASK}coarse_head.prediction", [(0, 9, 0), HIDDEN]),
        (f"{POINT}fc2", [HIDDEN, HIDDEN, ONE]),
    ],
)
def test_what_differs_in_more_than_classes_is_left(layer, axes):
    old, name = make_state(HEAD, 3), f"{layer}.weight"
    state, entries = adapt_classes(old, make_state({**HEAD, layer: axes}, 2))
    assert state[name] is old[name]
    assert name not in {entry.name for entry in entries}


def test_class_agnostic_masks_have_one_class():
    """Boxes change from 3 to 2 classes; a shared mask stays."""
    boxes = {layer: axes for layer, axes in HEAD.items() if layer.startswith(BOX)}
    mask = make_state({layer: axes for layer, axes in HEAD.items() if layer not in boxes}, 1)
    old, new = make_state(boxes, 3) | mask, make_state(boxes, 2, 500_000) | mask
    assert count_classes(old, INSTANCE) == 3
    state, entries = adapt_classes(old, new, class_map={INSTANCE: ClassMap((0, 1), 3)})
    assert {entry.name for entry in entries} == set(axes_of(boxes))
    assert all(state[name] is old[name] for name in mask)


def test_shared_masks_into_masks_per_class_keep_fine_columns():
    old, new = make_state(HEAD, 1), make_state(HEAD, 2, 500_000)
    # a map of other numbers of classes does not apply to this head
    state, _ = adapt_classes(old, new, class_map={INSTANCE: ClassMap((0, 1), 3)})
    name = f"{POINT}fc1.weight"
    assert_same(state[name], torch.cat([old[name][:, :3], new[name][:, 3:]], dim=1))


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


@pytest.mark.parametrize(
    ("sources", "old_count", "lengths", "is_new"),
    [
        ((0, 1, 2), 3, (9, 9), False),  # the same classes
        (None, 3, (9, 9), False),
        ((2, 0, 1), 3, (9, 9), True),  # of as many rows, which classes share
        ((0, None, 2), 3, (9, 9), True),
        (None, 2, (7, 9), True),
        (None, 2, (9, 9), False),  # class-agnostic
    ],
)
def test_parameters_of_implicit_pointrend_are_kept_or_new_as_a_whole(
    sources, old_count, lengths, is_new
):
    """Never the parameters of one class for those of another."""
    layer = f"{MASK}parameter_head.prediction"
    fc = f"{MASK}parameter_head.fc1.weight"
    states = []
    for length, count, start in zip(lengths, (old_count, 3), (0.0, 100.0), strict=True):
        states.append(
            {
                f"{layer}.weight": torch.arange(length * 2.0).view(-1, 2) + start,
                f"{layer}.bias": torch.arange(float(length)) + start,
                fc: torch.full((2, 2), start),
                f"{BOX}cls_score.weight": torch.zeros(count + 1, 2),
            }
        )
    class_map = {INSTANCE: ClassMap(sources, old_count)} if sources else None
    got, entries = adapt_classes(*states, class_map=class_map)
    for kind in ("weight", "bias"):
        assert torch.equal(got[f"{layer}.{kind}"], states[is_new][f"{layer}.{kind}"])
    assert torch.equal(got[fc], states[0][fc])  # which knows no classes
    said = [entry.name for entry in entries if entry.name.startswith(layer)]
    assert said == ([f"{layer}.weight", f"{layer}.bias"] if is_new else [])
