"""Tiny heads that read the maps of a ResNet, by the name that a configuration gives them."""

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_sem_seg_head
from torch.nn import functional as F

from tests.modeling.builders import model_cfg, random_maps, randomize

V3, V3_PLUS = "DeepLabV3LogitsHead", "DeepLabV3PlusLogitsHead"
DEEPLAB, ALIGNED = [V3, V3_PLUS], ["SFNetHead", "AlignSegHead"]
HEADS = [*DEEPLAB, *ALIGNED]
NUM_CLASSES, IGNORE = 4, 255
ODD, EVEN = (75, 101), (64, 96)

DEEPLAB_SHAPES = {
    "res2": ShapeSpec(channels=5, stride=4),
    "res5": ShapeSpec(channels=6, stride=16),
}
SHAPES = {f"res{i}": ShapeSpec(channels=i + 3, stride=2**i) for i in (2, 3, 4, 5)}


POOLED = ["MODEL.SEM_SEG_HEAD.ASPP_POOLING", "crop"]
# DeepLab as the coarse head of PointRend
DEEPLAB_COARSE = {
    "SEM_SEG_POINT_HEAD__COARSE_HEAD_NAME": V3,
    "SEM_SEG_HEAD__NORM": "BN",
}


def crop_of(*size_hw, kind="absolute"):
    """Options of a training crop."""
    return ["INPUT.CROP.ENABLED", True, "INPUT.CROP.TYPE", kind, "INPUT.CROP.SIZE", size_hw]


def shapes_of(name):
    return DEEPLAB_SHAPES if "DeepLab" in name else SHAPES


def make_cfg(name, *, has_points=False, **overrides):
    """Keywords override keys of MODEL.SEM_SEG_HEAD."""
    is_v3 = "DeepLabV3" in name and "Plus" not in name
    node = {
        "NAME": "PointRendSemanticHead" if has_points else name,
        "IN_FEATURES": ["res5"] if is_v3 else list(shapes_of(name)),
        "COMMON_STRIDE": 16 if is_v3 else 4,
        "NUM_CLASSES": NUM_CLASSES,
        "CONVS_DIM": 8,
        "PROJECT_CHANNELS": [3],
        "ASPP_CHANNELS": 8,
        "ASPP_DILATIONS": [1, 2, 3],
        "NORM": "BN",
        "LOSS_TYPE": "cross_entropy",
        "LOSS_WEIGHT": 0.5,
        **overrides,
    }
    points = {
        "COARSE_HEAD_NAME": name,
        "IN_FEATURES": ("res2",),
        "TRAIN_NUM_POINTS": 24,
        "SUBDIVISION_NUM_POINTS": 30,
        "FC_DIM": 8,
    }
    return model_cfg(
        {f"SEM_SEG_HEAD.{key}": value for key, value in node.items()}
        | {f"SEM_SEG_POINT_HEAD.{key}": value for key, value in points.items()}
    )


def make_head(name, opts=(), shapes=None, std=0.3, **overrides):
    """A tiny head; ``opts`` are further keys and values of the configuration."""
    cfg = make_cfg(name, **overrides)
    cfg.merge_from_list(list(opts))
    cfg.freeze()
    before = cfg.dump()
    head = build_sem_seg_head(cfg, shapes or shapes_of(name))
    assert cfg.dump() == before, "building a head must not change the configuration"
    return randomize(head, std)


def make_features(rng, size_hw, shapes=SHAPES, num_images=2, dtype=torch.float32):
    """Maps of pictures of that size."""
    return random_maps(rng, shapes, size_hw, num_images, dtype)


def make_targets(rng, size_hw, num_images=2, num_classes=NUM_CLASSES):
    """Random labels, a fifth of them ignored."""
    targets = torch.randint(num_classes, (num_images, *size_hw), generator=rng)
    targets[torch.rand(targets.shape, generator=rng) < 0.2] = IGNORE
    return targets


def upsampled(logits, stride, size_hw):
    """Logits of the pixels that the network saw, at its stride; those beyond the image cut."""
    full = F.interpolate(logits, scale_factor=stride, mode="bilinear", align_corners=False)
    return full[..., : size_hw[0], : size_hw[1]]


def mean_loss(loss_type, logits, targets):
    """Of logits in the size of the targets; one class is compared with a logit of 0."""
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], 1)
    every = F.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="none").flatten()
    if loss_type == "cross_entropy":
        return every.sum() / (targets != IGNORE).sum()
    return every.sort(descending=True)[0][: len(every) // 5].mean()


def loss_history(head, features, targets, *, lr, steps):
    """Losses by name of each step of a training on one batch."""
    optimizer, history = torch.optim.Adam(head.parameters(), lr=lr), []
    for _ in range(steps):
        history.append(head.train()(features, targets)[1])
        optimizer.zero_grad()
        sum(history[-1].values()).backward()
        optimizer.step()
    return history
