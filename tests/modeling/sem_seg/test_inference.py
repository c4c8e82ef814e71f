"""Inference of ``PointRendSemanticHead`` against the loop oracle, image by image, in float64."""

import pytest
import torch

from tests.modeling.sem_seg.decoder_heads import DEEPLAB_COARSE

EVERY_CELL = {"SEM_SEG_POINT_HEAD__SUBDIVISION_NUM_POINTS": 10**6}
ODD, EVEN = (37, 53), (32, 48)  # of 37 x 53, strides 4, 8 and 16 cover 40 x 56, 40 x 56 and 48 x 64
CASES = {
    **{f"stride {x}, {hw}": (x, hw, {}) for x in (4, 8, 16) for hw in (ODD, EVEN)},
    "binary": (16, ODD, {"SEM_SEG_HEAD__NUM_CLASSES": 1}),
    "two classes": (16, ODD, {"SEM_SEG_HEAD__NUM_CLASSES": 2}),
    "five classes": (16, ODD, {"SEM_SEG_HEAD__NUM_CLASSES": 5}),
    "two levels": (16, ODD, {"SEM_SEG_POINT_HEAD__IN_FEATURES": ("p2", "p3")}),
    "two levels, coarse first": (16, ODD, {"SEM_SEG_POINT_HEAD__IN_FEATURES": ("p4", "p2")}),
    "three layers": (16, ODD, {"SEM_SEG_POINT_HEAD__NUM_FC": 3}),
    "DeepLab, stride 8": (8, ODD, DEEPLAB_COARSE),
    "DeepLab, stride 16": (16, ODD, DEEPLAB_COARSE),
    "every cell, stride 4": (4, (21, 30), EVERY_CELL),
    "every cell, stride 16": (16, (21, 30), EVERY_CELL),
}


def run(head, features, semantic, image_sizes=None):
    with torch.no_grad(), semantic.recorded_steps() as steps:
        logits, losses = head.eval()(features, image_sizes=image_sizes)
    assert losses == {}
    return logits, steps


def check(head, features, semantic, loop_head, sizes=None):
    """Every image of the batch equals the oracle: the chosen cells of each step, and all logits."""
    got, steps = run(head, features, semantic, sizes)
    names, stride, num_points = (
        head.point_levels.names,
        head.common_stride,
        head.subdivision.num_points,
    )
    for image, image_logits in enumerate(got):
        loop = loop_head(head, features, image, names, coarse_stride=stride)
        expected, chosen = loop.refine(num_points, sizes and sizes[image])
        for ((_, width), cells), best in zip(steps, chosen, strict=True):
            assert sorted(divmod(cell, width) for cell in cells[image].tolist()) == sorted(best)
        torch.testing.assert_close(image_logits, torch.from_numpy(expected), rtol=1e-10, atol=1e-10)
    return got


@pytest.mark.parametrize("is_plain", [False, True])
@pytest.mark.parametrize(("stride", "size_hw", "overrides"), CASES.values(), ids=CASES)
def test_refined_logits(semantic, loop_head, stride, size_hw, overrides, is_plain):
    head, features = semantic.head(stride, **overrides), semantic.features(size_hw)
    if is_plain:
        head = semantic.plain(head)
    got = check(head, features, semantic, loop_head)
    assert got.shape[-2:] == tuple(-(-side // stride) * stride for side in size_hw)


def test_images_of_different_sizes_in_one_batch(semantic, loop_head):
    head, features = semantic.head(16), semantic.features((37, 53), num_images=3)
    sizes = [(37, 30), (21, 53), (37, 53)]
    got = check(head, features, semantic, loop_head, sizes)
    for image, size in enumerate(sizes):
        alone = {name: planes[image : image + 1] for name, planes in features.items()}
        single, _ = run(head, alone, semantic, [size])
        torch.testing.assert_close(got[image : image + 1], single, rtol=1e-12, atol=1e-12)


def test_more_points_than_cells_inside_the_image(semantic):
    """The padding is refined last, and only then; the image is what it is alone."""
    head = semantic.head(4, SEM_SEG_POINT_HEAD__SUBDIVISION_NUM_POINTS=10**6)
    features = semantic.features((21, 30))
    with_sizes, _ = run(head, features, semantic, [(21, 30), (10, 12)])
    without, _ = run(head, features, semantic)
    torch.testing.assert_close(with_sizes, without, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_head_in_16_bits_refines_in_32(semantic, dtype):
    """The map of a 16-bit head is kept in 32 bits; only the network itself rounds."""
    features = semantic.features((37, 53))
    head = semantic.head(16, SEM_SEG_POINT_HEAD__SUBDIVISION_NUM_POINTS=10**6)
    exact, _ = run(head, features, semantic)
    halves = {name: planes.to(dtype) for name, planes in features.items()}
    got, _ = run(head.to(dtype), halves, semantic)
    assert got.dtype == torch.float32
    rough = 0.01 if dtype == torch.float16 else 0.08
    assert (got - exact).abs().max() < rough * exact.abs().max()


def test_a_coarse_head_that_misstates_its_stride_is_refused(semantic):
    head, features = semantic.head(4), semantic.features((37, 53))
    head.coarse_sem_seg_head.common_stride = 8
    with pytest.raises(ValueError, match=r"SemSegFPNHead states common_stride 8.*COMMON_STRIDE"):
        run(head, features, semantic)


@pytest.mark.parametrize("size_hw", [(1, 1), (16, 1), (5, 90), (333, 500)])
@pytest.mark.parametrize("stride", [4, 8, 16])
def test_odd_sizes_are_not_mistaken_for_a_wrong_stride(semantic, stride, size_hw):
    overrides = {"SEM_SEG_POINT_HEAD__IN_FEATURES": ("p2", "p4")}
    head, features = semantic.head(stride, **overrides), semantic.features(size_hw, 1)
    got, _ = run(head, features, semantic)
    assert got.shape == (1, 3, *(-(-side // stride) * stride for side in size_hw))
    assert got.isfinite().all()
