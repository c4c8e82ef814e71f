"""The mapper on annotated points: augmentations, what leaves the image, and what is refused."""

import numpy as np
import pytest
import torch
from detectron2.data import transforms as T

from pointrend_ext.data import build_mapper, build_train_loader
from pointrend_ext.data.coco import causes
from tests.data.builders import annotation, crop, semantic, target, without

COORDS = [[10.5, 5.5], [29.5, 24.5], [12.25, 20.0]]


@pytest.fixture
def points_cfg(cfg):
    cfg.INPUT.POINT_SUP = True
    return cfg


def with_points(coords=COORDS, labels=(1, 0, 1), **changes):
    entry = without(target(**changes), "segmentation")
    return {**entry, "point_coords": coords, "point_labels": list(labels)}


def mapped(cfg, record, annotations, **changes):
    mapper = build_mapper(cfg, is_train=True, **changes)
    return mapper({**record, "annotations": annotations})["instances"], mapper


def test_points_in_the_place_of_masks(points_cfg, record):
    """Of several objects, one of them with fewer points and one without any."""
    few = with_points([[12.5, 7.5]], [0], category_id=1)
    none = without(target(), "segmentation")
    instances, mapper = mapped(points_cfg, record, [with_points(), few, none, target()])
    assert not instances.has("gt_masks")
    assert instances.gt_point_coords.dtype == instances.gt_point_labels.dtype == torch.float32
    assert instances.gt_point_coords[0].tolist() == COORDS
    assert instances.gt_point_coords[1, 0].tolist() == [12.5, 7.5]
    labels = instances.gt_point_labels.tolist()
    assert labels == [[1, 0, 1], [0, -1, -1], [-1] * 3, [-1] * 3]
    assert instances.gt_classes.tolist() == [0, 1, 0, 0]
    assert mapper.drops.counts() == {}
    chosen = instances[torch.tensor([1, 0, 0])]  # as proposals do
    assert chosen.gt_point_labels.tolist() == [labels[1], labels[0], labels[0]]


def test_an_image_without_objects(points_cfg, record):
    instances, _ = mapped(points_cfg, record, [])
    assert instances.gt_point_coords.shape == (0, 0, 2)
    assert instances.gt_point_labels.shape == (0, 0)


def test_without_the_key_points_are_not_read(cfg, record):
    odd = {**target(), "point_coords": "what", "point_labels": [7]}
    instances, _ = mapped(cfg, record, [odd])
    assert instances.has("gt_masks")
    assert not instances.has("gt_point_coords")


@pytest.mark.parametrize(
    ("augmentation", "expected"),
    [
        (T.Resize((80, 30)), lambda x, y: (x / 2, 2 * y)),
        (T.RandomFlip(1.0), lambda x, y: (60 - x, y)),
        (T.RandomFlip(1.0, horizontal=False, vertical=True), lambda x, y: (x, 40 - y)),
        (T.RandomRotation([90, 90], expand=False), lambda x, y: (30 + (y - 20), 20 - (x - 30))),
    ],
)
def test_points_move_with_the_image(points_cfg, record, augmentation, expected):
    instances, _ = mapped(points_cfg, record, [with_points()], augmentations=[augmentation])
    want = torch.tensor([expected(x, y) for x, y in COORDS])
    torch.testing.assert_close(instances.gt_point_coords[0], want, rtol=0, atol=1e-4)
    assert instances.gt_point_labels.tolist() == [[1, 0, 1]]


def test_points_show_what_masks_show(cfg, record):
    """A mask read at the moved points has the labels of the points."""
    inside = [[x + 0.5, y + 0.5] for x in range(4, 36, 3) for y in range(0, 30, 3)]
    labels = [int(10 <= x < 30 and 5 <= y < 25) for x, y in inside]
    both = {**target(), "point_coords": inside, "point_labels": labels}
    augmentations = [
        T.ResizeShortestEdge(75),
        T.RandomFlip(1.0),
        T.RandomCrop("absolute", (50, 60)),
    ]
    found = []
    for use_points in (False, True):
        np.random.seed(5)  # noqa: NPY002
        cfg.INPUT.POINT_SUP = use_points
        found.append(mapped(cfg, record, [both], augmentations=augmentations)[0])
    masks, points = found
    seen = points.gt_point_labels[0] >= 0
    assert 0 < seen.sum() < len(labels)
    for (x, y), label in zip(
        points.gt_point_coords[0][seen].tolist(),
        points.gt_point_labels[0][seen].tolist(),
        strict=True,
    ):
        assert masks.gt_masks.tensor[0, min(int(y), 49), min(int(x), 59)] == label
    assert (points.gt_point_coords[0][~seen] - 30).abs().max() > 20


def test_some_of_the_points_are_drawn_each_time(points_cfg, record):
    points_cfg.INPUT.SAMPLE_POINTS = 2
    np.random.seed(0)  # noqa: NPY002
    seen = set()
    for _ in range(40):
        instances, _ = mapped(points_cfg, record, [with_points()])
        coords = instances.gt_point_coords[0].tolist()
        labels = instances.gt_point_labels[0].tolist()
        assert len(coords) == 2
        assert [(1, 0, 1)[COORDS.index(point)] for point in coords] == labels
        seen.add(frozenset(map(tuple, coords)))
    assert len(seen) == 3  # each pair
    points_cfg.INPUT.SAMPLE_POINTS = 5  # more than there are
    assert mapped(points_cfg, record, [with_points()])[0].gt_point_coords.shape == (1, 3, 2)


def test_crops_keep_annotated_boxes(points_cfg, record):
    """There is no mask to recompute them of."""
    crop(points_cfg, 20, 20)
    mapper = build_mapper(points_cfg, is_train=True)
    assert (mapper.use_points, mapper.recompute_boxes, mapper.use_instance_mask) == (True, 0, 0)
    points_cfg.INPUT.CROP.ENABLED, points_cfg.INPUT.LSJ.ENABLED = False, True
    assert not build_mapper(points_cfg, is_train=True).recompute_boxes


def test_a_broken_point_of_a_record_names_the_image(points_cfg, record):
    with pytest.raises(ValueError, match=r"Annotation 0 .*one.jpg.*has the point label 3"):
        mapped(points_cfg, record, [with_points(labels=(1, 0, 3))])
    arrays = {
        **with_points(),
        "point_coords": np.array(COORDS),
        "point_labels": np.array([1, 0, 1]),
    }
    assert mapped(points_cfg, record, [arrays])[0].gt_point_coords[0].tolist() == COORDS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda cfg: setattr(cfg.MODEL.ROI_MASK_HEAD, "NAME", "MaskRCNNConvUpsampleHead"),
            "INPUT.POINT_SUP is True; it must be False, but for .*ImplicitPointRendROIMaskHead",
        ),
        (lambda cfg: setattr(cfg.MODEL, "MASK_ON", False), "INPUT.POINT_SUP is True"),
        (lambda cfg: semantic(cfg, 2), "INPUT.POINT_SUP is True"),
        (lambda cfg: setattr(cfg.INPUT, "SAMPLE_POINTS", -1), "SAMPLE_POINTS is -1"),
    ],
)
def test_models_that_learn_from_no_points_are_refused(points_cfg, change, message):
    change(points_cfg)
    with pytest.raises(ValueError, match=message):
        build_mapper(points_cfg, is_train=True)


def entry(**changes):
    return without(annotation(**changes), "segmentation")


def test_a_file_with_points_and_no_masks_is_trained_on(coco, points_cfg, caplog):
    points = {"point_coords": [[12, 7], [20, 9]], "point_labels": [1, 0]}
    data = coco([entry(**points), entry(image_id=2)])
    points_cfg.DATASETS.TRAIN = (data.name,)
    with caplog.at_level("INFO"):
        loader = build_train_loader(points_cfg)
    assert causes.POINTS_OF_PIXELS.text in caplog.text
    assert causes.NO_MASK.text not in caplog.text
    seen = {}
    for batch in loader:
        seen[batch[0]["image_id"]] = batch[0]["instances"]
        if len(seen) == 2:
            break
    assert seen[1].gt_point_coords.tolist() == [[[12.5, 7.5], [20.5, 9.5]]]
    assert seen[2].gt_point_labels.shape == (1, 0)


def test_a_data_set_without_points_is_refused_at_the_start(coco, points_cfg):
    points_cfg.DATASETS.TRAIN = (coco([annotation()]).name,)
    with pytest.raises(ValueError, match=r"has no points .*pointrend data points"):
        build_train_loader(points_cfg)


def test_copy_paste_is_refused(coco, points_cfg):
    points = {"point_coords": [[12, 7]], "point_labels": [1]}
    points_cfg.DATASETS.TRAIN = (coco([entry(**points)]).name,)
    points_cfg.INPUT.COPY_PASTE = 0.5
    with pytest.raises(ValueError, match="this training is on points"):
        build_train_loader(points_cfg)
