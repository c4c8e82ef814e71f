"""Inference of ``PointRendSemanticHead`` against the loop oracle, image by image, in float64."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
import torch

CASES = {
    "one level": {},
    "binary": {"SEM_SEG_HEAD__NUM_CLASSES": 1},
    "two classes": {"SEM_SEG_HEAD__NUM_CLASSES": 2},
    "five classes": {"SEM_SEG_HEAD__NUM_CLASSES": 5},
    "two levels": {"SEM_SEG_POINT_HEAD__IN_FEATURES": ("p2", "p3")},
    "two levels, coarse first": {"SEM_SEG_POINT_HEAD__IN_FEATURES": ("p4", "p2")},
    "three layers": {"SEM_SEG_POINT_HEAD__NUM_FC": 3},
}
SIZES = [(37, 53), (32, 48)]  # 37 x 53: strides 4, 8 and 16 cover 40 x 56, 40 x 56 and 48 x 64


def levels(overrides):
    return overrides.get("SEM_SEG_POINT_HEAD__IN_FEATURES", ("p2",))


def run(head, features, semantic, image_sizes=None):
    recorder = semantic.recorder()
    with torch.no_grad(), recorder.patch():
        logits, losses = head.eval()(features, image_sizes=image_sizes)
    assert losses == {}
    return logits, recorder.steps


def check(head, features, semantic, loop_head, names, stride, num_points, sizes=None):
    """Every image of the batch equals the oracle: the chosen cells of each step, and all logits."""
    got, steps = run(head, features, semantic, sizes)
    for image, image_logits in enumerate(got):
        loop = loop_head(head, features, image, names, coarse_stride=stride)
        expected, chosen = loop.refine(num_points, sizes and sizes[image])
        for ((_, width), cells), best in zip(steps, chosen, strict=True):
            assert {divmod(cell, width) for cell in cells[image].tolist()} == set(best)
        torch.testing.assert_close(image_logits, torch.from_numpy(expected), rtol=1e-10, atol=1e-10)
    return got


@pytest.mark.parametrize("size_hw", SIZES)
@pytest.mark.parametrize("stride", [4, 8, 16])
def test_strides_and_odd_sizes(semantic, loop_head, stride, size_hw):
    head, features = semantic.head(stride), semantic.features(size_hw)
    got = check(head, features, semantic, loop_head, ("p2",), stride, 9)
    assert got.shape[-2:] == tuple(-(-side // stride) * stride for side in size_hw)


@pytest.mark.parametrize("is_plain", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_classes_levels_and_layers(semantic, loop_head, case, is_plain):
    overrides = CASES[case]
    head, features = semantic.head(16, **overrides), semantic.features((37, 53))
    if is_plain:
        head = semantic.plain(head)
    check(head, features, semantic, loop_head, levels(overrides), 16, 9)


@pytest.mark.parametrize("stride", [8, 16])
def test_the_coarse_head_of_deeplab(semantic, loop_head, stride):
    head = semantic.head(
        stride,
        SEM_SEG_POINT_HEAD__COARSE_HEAD_NAME="DeepLabV3LogitsHead",
        SEM_SEG_HEAD__NORM="BN",
    )
    check(head, semantic.features((37, 53)), semantic, loop_head, ("p2",), stride, 9)


def test_images_of_different_sizes_in_one_batch(semantic, loop_head):
    head, features = semantic.head(16), semantic.features((37, 53), num_images=3)
    sizes = [(37, 30), (21, 53), (37, 53)]
    got = check(head, features, semantic, loop_head, ("p2",), 16, 9, sizes)
    for image, size in enumerate(sizes):
        alone = {name: planes[image : image + 1] for name, planes in features.items()}
        single, _ = run(head, alone, semantic, [size])
        torch.testing.assert_close(got[image : image + 1], single, rtol=1e-12, atol=1e-12)


def test_no_point_is_spent_on_padding(semantic):
    head, features = semantic.head(16), semantic.features((48, 64))
    sizes = [(30, 64), (48, 21)]
    _, steps = run(head, features, semantic, sizes)
    _, careless = run(head, features, semantic)
    assert [size for size, _ in steps] == [(6, 8), (12, 16), (24, 32), (48, 64)]
    in_padding = 0
    for ((height, width), cells), (_, without_sizes) in zip(steps, careless, strict=True):
        for image, (rows, columns) in enumerate(sizes):

            def inside(cells, height=height, width=width, rows=rows, columns=columns):
                y, x = (cells // width + 0.5) * 48 / height, (cells % width + 0.5) * 64 / width
                return (y < rows) & (x < columns)

            assert inside(cells[image]).all()
            assert len(set(cells[image].tolist())) == 9
            in_padding += (~inside(without_sizes[image])).sum()
    assert in_padding > 9  # else this test shows nothing


@pytest.mark.parametrize("stride", [4, 16])
def test_more_points_than_cells_predict_every_cell(semantic, loop_head, stride):
    head = semantic.head(stride, SEM_SEG_POINT_HEAD__SUBDIVISION_NUM_POINTS=10**6)
    features = semantic.features((21, 30), num_images=1)
    got, steps = run(head, features, semantic)
    loop = loop_head(head, features, 0, coarse_stride=stride)
    height, width = got.shape[-2:]
    expected = [[loop.point(j + 0.5, i + 0.5) for j in range(width)] for i in range(height)]
    expected = torch.from_numpy(np.array(expected)).permute(2, 0, 1)
    torch.testing.assert_close(got[0], expected, rtol=1e-10, atol=1e-10)
    assert steps[-1][1].shape == (1, height * width)


def test_more_points_than_cells_inside_the_image(semantic):
    """The padding is refined last, and only then; the image is what it is alone."""
    head = semantic.head(4, SEM_SEG_POINT_HEAD__SUBDIVISION_NUM_POINTS=10**6)
    features = semantic.features((21, 30))
    with_sizes, _ = run(head, features, semantic, [(21, 30), (10, 12)])
    without, _ = run(head, features, semantic)
    torch.testing.assert_close(with_sizes, without, rtol=1e-12, atol=1e-12)


def test_the_point_head_always_reads_the_original_coarse_logits(semantic, oracle):
    head = semantic.plain(semantic.head(16, SEM_SEG_POINT_HEAD__SUBDIVISION_NUM_POINTS=100))
    features = semantic.features((37, 53), num_images=1)
    coarse = head.coarse_sem_seg_head.layers(features).detach()
    before, seen = coarse.clone(), []
    head.point_head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    with mock.patch.object(head.coarse_sem_seg_head, "layers", return_value=coarse):
        _, steps = run(head, features, semantic)
    assert torch.equal(coarse, before)  # not written into
    assert len(seen) == len(steps) == 4
    for ((height, width), cells), read in zip(steps, seen, strict=True):
        for point, cell in enumerate(cells[0].tolist()):
            x, y = (cell % width + 0.5) / width, (cell // width + 0.5) / height
            expected = [oracle.bilinear(plane, x, y) for plane in before[0].numpy()]
            assert read[0, :, point].tolist() == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_logits_away_from_the_points_are_the_bilinear_ones(semantic):
    """One step: all but the chosen cells are interpolated, and the chosen ones are not."""
    head, features = semantic.head(16), semantic.features((37, 53))
    head.subdivision = type(head.subdivision)(steps=1, num_points=9)
    got, [(_, cells)] = run(head, features, semantic)
    with torch.no_grad():
        coarse = head.coarse_sem_seg_head.layers(features)
    smooth = torch.nn.functional.interpolate(coarse, scale_factor=2, mode="bilinear")
    same = (got == smooth).all(1).flatten(1)
    expected = torch.ones_like(same).scatter_(1, cells, False)
    assert torch.equal(same, expected)


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
