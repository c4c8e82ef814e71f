"""Semantic FPN + PointRend: same weights in, same logits, labels, losses and gradients out."""

from __future__ import annotations

from functools import partial
from unittest import mock

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data.detection_utils import read_image
from detectron2.layers import cat
from detectron2.modeling import SemanticSegmentor, build_model
from detectron2.projects import point_rend
from detectron2.projects.point_rend import semantic_seg as upstream_semantic_seg
from detectron2.utils.events import EventStorage

from pointrend_ext.engine import load_cfg
from pointrend_ext.layers import subdivision
from pointrend_ext.model_zoo import get_config_file
from pointrend_ext.modeling import StandardPointHead

pytestmark = pytest.mark.parity

CONFIG = "Cityscapes-SemanticSegmentation/pointrend_semantic_R_50_FPN_1x_cityscapes.yaml"
BASELINE = "Cityscapes-SemanticSegmentation/semantic_R_50_FPN_1x_cityscapes.yaml"
LOGITS_STD = 3  # what a trained model has


def build_pair(num_classes, inputs, *, seed=0, levels=("p2",), num_points=8192, ignore=255):
    """Both models with equal weights, loaded strictly in both directions: (ours, upstream)."""
    common = ["MODEL.DEVICE", "cpu", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", num_classes]
    common += ["MODEL.SEM_SEG_HEAD.IGNORE_VALUE", ignore]
    node = {"IN_FEATURES": levels, "SUBDIVISION_NUM_POINTS": num_points, "TRAIN_NUM_POINTS": 2048}

    def options(name, values):
        return [x for key, value in values.items() for x in (f"MODEL.{name}.{key}", value)]

    cfg = get_cfg()
    point_rend.add_pointrend_config(cfg)
    cfg.merge_from_file(get_config_file(BASELINE), allow_unsafe=True)
    extra = {"NUM_CLASSES": num_classes, "SUBDIVISION_STEPS": 2, "COARSE_PRED_EACH_LAYER": False}
    head = ["MODEL.SEM_SEG_HEAD.NAME", "PointRendSemSegHead"]
    cfg.merge_from_list([*common, *head, *options("POINT_HEAD", {**node, **extra})])
    torch.manual_seed(seed)
    upstream = build_model(cfg)
    calibrate(upstream, inputs)

    ours = build_model(load_cfg(CONFIG, [*common, *options("SEM_SEG_POINT_HEAD", node)]))
    assert list(ours.state_dict()) == list(upstream.state_dict())
    ours.load_state_dict(upstream.state_dict(), strict=True)
    upstream.load_state_dict(ours.state_dict(), strict=True)
    return ours.eval(), upstream.eval()


@torch.no_grad()
def calibrate(model, inputs):
    """Give random weights the activations and logits of a trained model (see ``conftest``)."""
    for block in (m for m in model.modules() if hasattr(m, "conv3")):
        block.conv3.norm.weight.fill_(0.3)
    head = model.sem_seg_head
    model.eval()
    for layer in (head.coarse_sem_seg_head.predictor, head.point_head.predictor):
        outputs = []
        handle = layer.register_forward_hook(lambda _m, _i, out, seen=outputs: seen.append(out))
        model(inputs)
        handle.remove()
        per_class = outputs[0].transpose(0, 1).flatten(1)
        scale = LOGITS_STD / per_class.std(1)
        layer.weight.mul_(scale.view(-1, *[1] * (layer.weight.dim() - 1)))
        layer.bias.copy_(-per_class.mean(1) * scale)


# ---- inputs


def as_input(image, labels=None):
    pixels = torch.as_tensor(np.ascontiguousarray(image.transpose(2, 0, 1)))
    targets = {} if labels is None else {"sem_seg": torch.as_tensor(labels.astype(np.int64))}
    return {"image": pixels, **targets}


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
        inputs.append(as_input(image, labels))
    return inputs


def camvid(root, count, size_hw):
    """Real images with their labels (11 is ignored), cut to a size."""
    rows, columns = size_hw
    inputs = []
    for file in sorted((root / "camvid" / "val").glob("*.jpg"))[:: 101 // count][:count]:
        labels = read_image(str(root / "camvid" / "val_labels" / f"{file.stem}.png"))
        image = read_image(str(file), format="BGR")
        inputs.append(as_input(image[:rows, :columns], labels[:rows, :columns]))
    return inputs


def coco(root, number):
    """A real image, and the same cut to a multiple of 32 pixels."""
    file = sorted((root / "coco" / "val2017").glob("*.jpg"))[number]
    image = read_image(str(file), format="BGR")
    height, width = (side // 32 * 32 for side in image.shape[:2])
    return as_input(image), as_input(image[:height, :width])


# ---- inference


class Recorder:
    """Keeps the cells that one implementation refines: (size, cells) per step."""

    def __init__(self, module):
        self.original, self.steps = module.get_uncertain_point_coords_on_grid, []
        self.patch = mock.patch.object(module, "get_uncertain_point_coords_on_grid", self)

    def __call__(self, scores, num_points):
        cells, coords = self.original(scores, num_points)
        self.steps.append((scores.shape[-2:], cells.sort(1).values))
        return cells, coords


def infer(forward, module, inputs):
    recorder = Recorder(module)
    with torch.no_grad(), recorder.patch:
        outputs = forward([{"image": x["image"]} for x in inputs])
    return [output["sem_seg"] for output in outputs], recorder.steps


class OwnPointHead(StandardPointHead):
    """A subclass may compute anything, so its points are predicted by the plain predictor."""


def check_inference(forward, pair, batches):
    """The plain predictor gives every bit of the logits, the fast one gives them within 1e-4.

    The fast one multiplies the same weights in another order, so only refined points differ, and
    what is interpolated from them.
    """
    ours, upstream = pair
    pixels, worst, swapped, flipped = 0, 0.0, 0, 0
    for batch in batches:
        expected, steps = infer(upstream, upstream_semantic_seg, batch)
        ours.sem_seg_head.point_head.__class__ = OwnPointHead
        plain, plain_steps = infer(forward, subdivision, batch)
        ours.sem_seg_head.point_head.__class__ = StandardPointHead
        fast, fast_steps = infer(forward, subdivision, batch)
        assert len(steps) == len(plain_steps) == len(fast_steps) == 2
        for (size, cells), of_plain, of_fast in zip(steps, plain_steps, fast_steps, strict=True):
            assert of_plain[0] == of_fast[0] == size
            assert torch.equal(of_plain[1], cells)
            swapped += sum(
                len(set(a) - set(b))
                for a, b in zip(of_fast[1].tolist(), cells.tolist(), strict=True)
            )
        ours.output = "labels"
        labels = infer(ours, subdivision, batch)[0] if forward is ours else None
        ours.output = "logits"
        for image, (a, b, c) in enumerate(zip(plain, fast, expected, strict=True)):
            assert c.std() > 1  # logits of several units: something to compare
            assert len(c.argmax(0).unique()) >= 2
            assert torch.equal(a, c)
            difference, wanted = (b - c).abs().amax(0), c.argmax(0)
            far = difference > 1e-4  # a swapped point
            worst, pixels = max(worst, difference[~far].max().item()), pixels + wanted.numel()
            best, second = c.topk(2, dim=0).values
            tie = (best - second < 1e-4) | far
            assert far.sum() <= 25 * swapped  # its own pixel and those interpolated from it
            assert (b.argmax(0) == wanted)[~tie].all()
            flipped += (b.argmax(0) != wanted).sum().item()
            if labels:
                assert (labels[image] == wanted)[~tie].all()
    print(
        f"{pixels} pixels: plain predictor bit-identical; fast one: largest difference {worst:.1e},"
        f" {swapped} points swapped, {flipped} labels differ"
    )
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


def in_detectron2s_segmentor(model):
    """Without the sizes of the images, so that padding is refined as upstream does it."""
    return partial(SemanticSegmentor.forward, model)


def test_logits_equal_upstream(case):
    pair, num_classes, _ = case
    inputs = draw([(64, 96), (64, 96)], num_classes)
    check_inference(pair[0], pair, [inputs])
    odd = draw([(75, 90), (64, 101)], num_classes)
    check_inference(in_detectron2s_segmentor(pair[0]), pair, [odd])


def test_random_initialisation_equals_upstream(case):
    (_, upstream), num_classes, seed = case
    cfg = load_cfg(CONFIG, ["MODEL.DEVICE", "cpu", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", num_classes])
    torch.manual_seed(seed)
    state = build_model(cfg).state_dict()
    for name, tensor in upstream.state_dict().items():
        if "predictor" not in name and "conv3.norm.weight" not in name:  # what was calibrated
            assert torch.equal(state[name], tensor), name


def test_two_levels_equal_upstream_once_it_concatenates_channels(float64):
    """Upstream's inference joins several maps on the batch axis; here that is mended."""
    inputs = draw([(64, 96)], 11)
    with mock.patch.object(upstream_semantic_seg, "cat", lambda maps, dim=1: cat(maps, dim)):
        pair = build_pair(11, inputs, levels=("p2", "p3"), num_points=800)
        check_inference(pair[0], pair, [inputs])
    check_training(pair, inputs, float64)


@pytest.mark.real_data
def test_logits_equal_upstream_on_camvid(real_data):
    images = camvid(real_data, 2, (352, 480))
    pair = build_pair(11, images[:1])
    check_inference(pair[0], pair, [images])
    whole = camvid(real_data, 1, (360, 480))
    check_inference(in_detectron2s_segmentor(pair[0]), pair, [whole])


@pytest.mark.real_data
@pytest.mark.parametrize(("num_classes", "number"), [(2, 0), (54, 20)])
def test_logits_equal_upstream_on_coco(real_data, num_classes, number):
    whole, cut = coco(real_data, number)
    pair = build_pair(num_classes, [cut], seed=1)
    check_inference(pair[0], pair, [[cut]])
    check_inference(in_detectron2s_segmentor(pair[0]), pair, [[whole]])


# ---- training


def losses_and_gradients(model, inputs):
    model.train()
    model.zero_grad()
    torch.manual_seed(11)
    with EventStorage():
        losses = model(inputs)
    sum(losses.values()).backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    return {name: loss.item() for name, loss in losses.items()}, gradients


def check_training(pair, inputs, float64):
    upstream_point_sample = upstream_semantic_seg.point_sample

    def point_sample_of_one_type(features, coords, **kwargs):
        return upstream_point_sample(features.to(coords.dtype), coords, **kwargs)

    one_type = mock.patch.object(upstream_semantic_seg, "point_sample", point_sample_of_one_type)
    with float64(), one_type:
        got, got_gradients = losses_and_gradients(pair[0].double(), inputs)
        want, want_gradients = losses_and_gradients(pair[1].double(), inputs)
    for model in pair:
        model.float()  # exact: no step was taken
        model.eval()
    assert min(want.values()) > 0.1
    assert got.keys() == want.keys() == {"loss_sem_seg", "loss_sem_seg_point"}
    loss_error = max(abs(got[name] / want[name] - 1) for name in want)
    assert list(got_gradients) == list(want_gradients)
    worst = 0.0
    for name, gradient in want_gradients.items():
        assert gradient.any(), name
        error = (got_gradients[name] - gradient).abs().max() / gradient.abs().max()
        worst = max(worst, error.item())
    print(
        f"largest relative error of a loss {loss_error:.1e}, of a gradient {worst:.1e} (relative "
        "to the parameter's largest)"
    )
    assert loss_error <= 1e-6
    assert worst <= 1e-8


def test_training_equals_upstream(case, float64):
    pair, num_classes, _ = case
    check_training(pair, draw([(64, 90), (50, 64)], num_classes), float64)


@pytest.mark.real_data
def test_training_equals_upstream_on_camvid(real_data, float64):
    inputs = camvid(real_data, 2, (192, 256))
    check_training(build_pair(11, inputs[:1], ignore=11), inputs, float64)
