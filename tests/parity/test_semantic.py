"""Semantic FPN + PointRend: same weights in, same logits, labels, losses and gradients out."""

from functools import partial
from unittest import mock

import numpy as np
import pytest
import torch
from detectron2.data.detection_utils import read_image
from detectron2.layers import cat
from detectron2.modeling import SemanticSegmentor, build_model
from detectron2.projects.point_rend import semantic_seg as upstream_semantic_seg

from pointrend_ext.engine import load_cfg
from pointrend_ext.layers import subdivision
from pointrend_ext.modeling import StandardPointHead
from tests.parity.upstream import (
    Recorder,
    as_input,
    below_model,
    calibrate,
    check_initialisation,
    check_training,
    upstream_semantic_model,
    with_equal_weights,
)

pytestmark = pytest.mark.parity

CONFIG = "Cityscapes-SemanticSegmentation/pointrend_semantic_R_50_FPN_1x_cityscapes.yaml"
BASELINE = "Cityscapes-SemanticSegmentation/semantic_R_50_FPN_1x_cityscapes.yaml"
LOGITS_STD = 3.0  # what a trained model has


def build_pair(num_classes, inputs, *, seed=0, levels=("p2",), num_points=8192, ignore=255):
    """Both models with equal weights, loaded strictly in both directions: (ours, upstream)."""
    common = {
        "DEVICE": "cpu",
        "SEM_SEG_HEAD.NUM_CLASSES": num_classes,
        "SEM_SEG_HEAD.IGNORE_VALUE": ignore,
    }
    node = {"IN_FEATURES": levels, "SUBDIVISION_NUM_POINTS": num_points, "TRAIN_NUM_POINTS": 2048}

    def options(name):
        return below_model({**common, **{f"{name}.{key}": value for key, value in node.items()}})

    torch.manual_seed(seed)
    upstream = upstream_semantic_model(BASELINE, num_classes, options("POINT_HEAD"))
    head = upstream.sem_seg_head
    layers = (head.coarse_sem_seg_head.predictor, head.point_head.predictor)
    calibrate(upstream, inputs, dict.fromkeys(layers, LOGITS_STD))
    ours = build_model(load_cfg(CONFIG, options("SEM_SEG_POINT_HEAD")))
    assert list(ours.state_dict()) == list(upstream.state_dict())
    return with_equal_weights(ours, upstream)


# ---- inputs


def with_labels(image, labels):
    return as_input(image, sem_seg=torch.as_tensor(labels.astype(np.int64)))


def draw(sizes_hw, num_classes):
    """Textured stripes and discs with their labels, every border ignored."""
    rng = np.random.default_rng(7)
    inputs = []
    for height, width in sizes_hw:
        y, x = np.mgrid[:height, :width]
        labels = (x // 23 + y // 31) % num_classes
        for _ in range(6):
            cx, cy, radius = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(5, 30)
            labels[(x - cx) ** 2 + (y - cy) ** 2 < radius**2] = rng.integers(num_classes)
        palette = rng.integers(30, 225, (num_classes, 3))
        image = (palette[labels] + rng.integers(-30, 30, (height, width, 3))).astype(np.uint8)
        labels[:3] = labels[:, -3:] = 255
        inputs.append(with_labels(image, labels))
    return inputs


def camvid(root, count, size_hw):
    """Real images with their labels (11 is ignored), cut to a size."""
    rows, columns = size_hw
    inputs = []
    for file in sorted((root / "camvid" / "val").glob("*.jpg"))[:: 101 // count][:count]:
        labels = read_image(str(root / "camvid" / "val_labels" / f"{file.stem}.png"))
        image = read_image(str(file), format="BGR")
        inputs.append(with_labels(image[:rows, :columns], labels[:rows, :columns]))
    return inputs


def coco(root, number, step):
    """A real image, of every ``step``-th pixel, and the same cut to a multiple of 32 pixels."""
    file = sorted((root / "coco" / "val2017").glob("*.jpg"))[number]
    image = np.ascontiguousarray(read_image(str(file), format="BGR")[::step, ::step])
    height, width = (side // 32 * 32 for side in image.shape[:2])
    return as_input(image), as_input(image[:height, :width])


# ---- inference


def infer(forward, module, inputs):
    recorder = Recorder(module)
    with torch.no_grad(), recorder.patch:
        outputs = forward([{"image": x["image"]} for x in inputs])
    return [output["sem_seg"] for output in outputs], recorder.steps


class OwnPointHead(StandardPointHead):
    """A subclass may compute anything, so its points are predicted by the plain predictor."""


def check_inference(pair, batch, *, is_padded=False):
    """The plain predictor gives every bit of the logits, the fast one gives them within 1e-4.

    The fast one multiplies the same weights in another order, so only refined points differ, and
    what is interpolated from them. Of a padded batch Detectron2's own segmentor is run: without the
    sizes of the images padding is refined as upstream does it.
    """
    ours, upstream = pair
    forward = partial(SemanticSegmentor.forward, ours) if is_padded else ours
    expected, steps = infer(upstream, upstream_semantic_seg, batch)
    ours.sem_seg_head.point_head.__class__ = OwnPointHead
    plain, plain_steps = infer(forward, subdivision, batch)
    ours.sem_seg_head.point_head.__class__ = StandardPointHead
    fast, fast_steps = infer(forward, subdivision, batch)
    assert len(steps) == 2
    swapped = 0
    for (scores, cells), of_plain, of_fast in zip(steps, plain_steps, fast_steps, strict=True):
        assert of_plain[0].shape == of_fast[0].shape == scores.shape
        assert torch.equal(of_plain[1], cells)
        per_image = zip(of_fast[1].tolist(), cells.tolist(), strict=True)
        swapped += sum(len(set(a) - set(b)) for a, b in per_image)
    ours.output = "labels"
    labels = [x.argmax(0) for x in fast] if is_padded else infer(ours, subdivision, batch)[0]
    ours.output = "logits"
    worst, flipped = 0.0, 0
    for theirs, exact, close, label in zip(expected, plain, fast, labels, strict=True):
        assert theirs.std() > 1  # logits of several units: something to compare
        assert len(theirs.argmax(0).unique()) >= 2
        assert torch.equal(exact, theirs)
        difference, wanted = (close - theirs).abs().amax(0), theirs.argmax(0)
        far = difference > 1e-4  # a swapped point
        worst = max(worst, difference[~far].max().item())
        best, second = theirs.topk(2, dim=0).values
        tie = (best - second < 1e-4) | far
        assert far.sum() <= 25 * swapped  # its own pixel and those interpolated from it
        assert (close.argmax(0) == wanted)[~tie].all()
        assert (label == wanted)[~tie].all()
        flipped += (close.argmax(0) != wanted).sum().item()
    print(f"largest difference {worst:.1e}, {swapped} points swapped, {flipped} labels differ")
    assert swapped <= 4
    assert flipped <= 4


@pytest.fixture(
    scope="module",
    params=[(2, 0), (11, 0), (54, 0), (2, 1), (11, 1), (54, 1)],
    ids=lambda p: f"{p[0]} classes, seed {p[1]}",
)
def case(request):
    """A pair in float32, its number of classes and its seed."""
    num_classes, seed = request.param
    inputs = draw([(64, 96)], num_classes)
    return build_pair(num_classes, inputs, seed=seed, num_points=800), num_classes, seed


@pytest.mark.usefixtures("device_form")
def test_logits_equal_upstream(case):
    pair, num_classes, _ = case
    inputs = draw([(64, 96), (64, 96)], num_classes)
    check_inference(pair, inputs)
    odd = draw([(75, 90), (64, 101)], num_classes)
    check_inference(pair, odd, is_padded=True)


def test_random_initialisation_equals_upstream(case):
    (_, upstream), num_classes, seed = case
    options = {"SEM_SEG_HEAD.NUM_CLASSES": num_classes}
    check_initialisation(upstream, CONFIG, options, seed, ["predictor"])


def test_two_levels_equal_upstream_once_it_concatenates_channels():
    """Upstream's inference joins several maps on the batch axis; here that is mended."""
    inputs = draw([(64, 96)], 11)
    with mock.patch.object(upstream_semantic_seg, "cat", lambda maps, dim=1: cat(maps, dim)):
        pair = build_pair(11, inputs, levels=("p2", "p3"), num_points=800)
        check_inference(pair, inputs)
    check_semantic_training(pair, inputs)


@pytest.mark.real_data
def test_logits_equal_upstream_on_camvid(real_data):
    images = camvid(real_data, 2, (352, 480))
    pair = build_pair(11, images[:1])
    check_inference(pair, images)
    whole = camvid(real_data, 1, (360, 480))
    check_inference(pair, whole, is_padded=True)


@pytest.mark.real_data
@pytest.mark.parametrize("step", [2, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("num_classes", "number"), [(2, 0), (54, 20)])
def test_logits_equal_upstream_on_coco(real_data, num_classes, number, step):
    whole, cut = coco(real_data, number, step)
    pair = build_pair(num_classes, [cut], seed=1)
    check_inference(pair, [cut])
    check_inference(pair, [whole], is_padded=True)


# ---- training


def check_semantic_training(pair, inputs):
    losses, gradients = check_training(pair, inputs, 1e-8)
    assert losses.keys() == {"loss_sem_seg", "loss_sem_seg_point"}
    assert min(losses.values()) > 0.1
    assert all(gradient.any() for gradient in gradients.values())


def test_training_equals_upstream(case):
    pair, num_classes, _ = case
    check_semantic_training(pair, draw([(64, 90), (50, 64)], num_classes))


@pytest.mark.real_data
def test_training_equals_upstream_on_camvid(real_data):
    inputs = camvid(real_data, 2, (192, 256))
    check_semantic_training(build_pair(11, inputs[:1], ignore=11), inputs)
