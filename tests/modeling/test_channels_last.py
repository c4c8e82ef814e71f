"""``MODEL.CHANNELS_LAST``: the same numbers, from feature maps that lie otherwise."""

import torch
from detectron2.utils.events import EventStorage
from torch import nn

from pointrend_ext.engine import load_cfg
from pointrend_ext.modeling.unread_keys import build_checked_model
from tests.modeling.builders import RCNN, backward, model_cfg, picture
from tests.tiny_models import OPTS, TINY


def both(make_cfg):
    models = []
    for is_last in (False, True):
        torch.manual_seed(0)
        models.append(build_checked_model(make_cfg(is_last)))
    return models


def is_nhwc(x):
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def watched(model):
    """What its convolutions of maps give, once it is called."""
    seen = []
    for module in model.backbone.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _m, _i, output: seen.append(is_nhwc(output)))
    return seen


def test_instances():
    plain, model = both(lambda x: model_cfg(RCNN, CHANNELS_LAST=x))
    seen = watched(model)
    batch = [picture((64, 96), [[4, 4, 60, 50], [30, 10, 90, 60]]), picture((48, 64), [])]
    losses = []
    for each in (plain, model):
        torch.manual_seed(1)
        with EventStorage():
            losses.append(backward(each, batch))
    assert seen
    assert all(seen)
    for name, loss in losses[0].items():
        torch.testing.assert_close(losses[1][name], loss, rtol=1e-4, atol=1e-6)
    state = plain.state_dict()
    assert model.load_state_dict(state)
    assert any(is_nhwc(value) for value in model.state_dict().values() if value.dim() == 4)
    with torch.no_grad():
        image = [{"image": batch[0]["image"]}]
        found = [each.eval()(image)[0]["instances"] for each in (plain, model)]
    torch.testing.assert_close(found[0].scores, found[1].scores, rtol=1e-3, atol=1e-5)
    assert len(found[0]) > 0
    assert (found[0].pred_masks != found[1].pred_masks).float().mean() < 0.01


def test_label_maps():
    config = "Toy/pointrend_rcnn_toy.yaml"
    plain, model = both(
        lambda x: load_cfg(
            config, [*TINY, *OPTS["semantic"], "MODEL.WEIGHTS", "", "MODEL.CHANNELS_LAST", x]
        )
    )
    seen = watched(model)
    image = {"image": torch.randint(0, 256, (3, 96, 130), dtype=torch.uint8)}
    with torch.no_grad():
        found = [each.double().eval()([image])[0]["sem_seg"] for each in (plain, model)]
    assert seen
    assert all(seen)
    torch.testing.assert_close(found[0], found[1], rtol=1e-6, atol=1e-9)
