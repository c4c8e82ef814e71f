"""Same weights in, same masks out."""

from unittest import mock

import pytest
import torch
from detectron2.projects.point_rend import mask_head as upstream_mask_head
from detectron2.structures import Boxes, Instances

from pointrend_ext.layers import forms_for, subdivision
from pointrend_ext.modeling.given_boxes import GivenBoxesModel
from pointrend_ext.modeling.point_head import predictors
from pointrend_ext.modeling.point_head.fast import fine_tables
from tests.parity.upstream import Recorder

pytestmark = pytest.mark.parity


def infer(model, module, inputs):
    """Detections of one image, with raw (R, 1, S, S) masks, and the recorded steps."""
    recorder = Recorder(module)
    # one chunk, whose regions come in their own order
    with (
        torch.no_grad(),
        recorder.patch,
        mock.patch.dict(predictors.POINTS_PER_CHUNK, cpu=10**9),
        mock.patch.object(fine_tables, "CHUNK_CELLS", 10**9),
    ):
        (instances,) = model.inference([inputs], do_postprocess=False)
    return instances, recorder.steps


def check_masks(ours, upstream, ours_steps, upstream_steps):
    """Compare masks; return their largest difference, and how many regions swapped a point."""
    difference = (ours - upstream).abs().flatten(1)  # (R, S * S)
    swapped = torch.zeros(len(ours), dtype=torch.bool)
    for (_, cells), (scores, upstream_cells) in zip(ours_steps, upstream_steps, strict=True):
        none = torch.zeros_like(scores.flatten(1), dtype=torch.bool)
        differs = none.scatter(1, cells, True) != none.scatter(1, upstream_cells, True)
        for region in torch.nonzero(differs.any(1) & ~swapped).flatten():
            at_cut_off = scores[region].flatten()[differs[region]]
            assert at_cut_off.max() - at_cut_off.min() < 1e-5
        swapped |= differs.any(1)
    assert difference[~swapped].max() <= 1e-5 if (~swapped).any() else True
    # a swapped point changes its own pixel and its later interpolation, nothing else
    assert (difference[swapped] > 1e-5).float().mean(1).max() < 0.01 if swapped.any() else True
    logits = torch.logit(upstream[~swapped].double(), eps=1e-12)
    flipped = (ours[~swapped] > 0.5) != (upstream[~swapped] > 0.5)
    assert (logits[flipped].abs() < 1e-4).all()
    return difference.max().item(), int(swapped.sum())


def check_images(pair, inputs):
    worst, regions, swaps = 0.0, 0, 0
    for one in inputs:
        ours, ours_steps = infer(pair[0], subdivision, one)
        upstream, upstream_steps = infer(pair[1], upstream_mask_head, one)
        assert len(ours_steps) == 3
        assert len(ours) > 0
        assert torch.equal(ours.pred_classes, upstream.pred_classes)
        assert torch.equal(ours.pred_boxes.tensor, upstream.pred_boxes.tensor)
        assert torch.equal(ours.scores, upstream.scores)
        low, high = upstream.pred_masks.aminmax()
        assert high - low > 0.5  # logits of several units: something to compare
        masks = ours.pred_masks, upstream.pred_masks
        difference, swapped = check_masks(*masks, ours_steps, upstream_steps)
        worst, regions, swaps = max(worst, difference), regions + len(ours), swaps + swapped
    print(f"{len(inputs)} images, {regions} masks: largest difference {worst:.1e}, {swaps} swapped")
    assert swaps <= max(1, regions // 20)


@pytest.mark.parametrize(("num_classes", "form"), [(1, "cpu"), (8, "cuda"), (80, "cpu")])
def test_masks_equal_upstream(make_pair, drawn_inputs, num_classes, form):
    with forms_for(form):
        check_images(make_pair(num_classes, drawn_inputs), drawn_inputs)


@pytest.mark.real_data
@pytest.mark.parametrize("num_classes", [1, 8, 80])
def test_masks_equal_upstream_on_coco(make_pair, coco_inputs, num_classes):
    check_images(make_pair(num_classes, coco_inputs[:1]), coco_inputs)


def test_given_boxes_equal_detected_instances_of_upstream(make_pair, drawn_inputs):
    """Upstream's path for known boxes; ours are in the frame of the output, twice the input."""
    ours, upstream = make_pair(8, drawn_inputs)
    boxes = torch.tensor(
        [[10.0, 12, 90, 100], [0, 0, 133, 150], [10, 12, 90, 100], [60, 70, 67, 99]]
    )
    classes = torch.tensor([3, 0, 7, 3])
    batch, detected = [], []
    for one in drawn_inputs:
        height, width = one["image"].shape[-2:]
        frame = (2 * height, 2 * width)
        given = Instances(frame, pred_boxes=Boxes(2 * boxes), pred_classes=classes)
        batch.append({"image": one["image"], "height": frame[0], "width": frame[1], "given": given})
        detected.append(
            Instances((height, width), pred_boxes=Boxes(boxes.clone()), pred_classes=classes)
        )
    with torch.no_grad():
        regions = GivenBoxesModel(ours).regions(batch)
        expected = upstream.inference(batch, detected, do_postprocess=False)
        pasted, expected_pasted = GivenBoxesModel(ours)(batch), upstream.inference(batch, detected)
    for got, want in zip(regions, expected, strict=True):
        assert torch.equal(got.pred_boxes.tensor, 2 * boxes)
        assert torch.equal(got.pred_classes, classes)
        difference = (got.pred_masks - want.pred_masks).abs().max().item()
        print(f"largest difference {difference:.1e}")
        assert difference <= 1e-5
        assert want.pred_masks.std() > 0.1
    for got, want in zip(pasted, expected_pasted, strict=True):
        masks, upstream_masks = got["instances"].pred_masks, want["instances"].pred_masks
        assert (masks != upstream_masks).float().mean() < 1e-5
