"""Run-length masks against pycocotools, and the broken ones that it lets through."""

import numpy as np
import pycocotools.mask as mask_util
import pytest

from pointrend_ext.data.rle import _run_lengths, compress_rle


def runs_of(mask):
    """Run lengths in column order, zeros first; a slow loop."""
    runs, value, length = [], 0, 0
    for pixel in mask.flatten(order="F").tolist():
        if pixel != value:
            runs.append(length)
            value, length = pixel, 0
        length += 1
    return [*runs, length]


def masks():
    rng = np.random.default_rng(3)
    yield np.zeros((4, 5), np.uint8)
    yield np.ones((4, 5), np.uint8)
    yield (rng.random((40, 60)) < 0.3).astype(np.uint8)
    big = np.zeros((700, 900), np.uint8)
    big[100:650, 30:800] = 1
    yield big


@pytest.mark.parametrize("mask", list(masks()), ids=["empty", "full", "noise", "big"])
def test_runs_and_round_trip(mask):
    runs = runs_of(mask)
    compressed = mask_util.encode(np.asfortranarray(mask))
    assert _run_lengths(compressed["counts"]).tolist() == runs
    size = mask.shape
    for counts in (compressed["counts"], compressed["counts"].decode(), runs):
        got = mask_util.decode(compress_rle({"size": list(size), "counts": counts}, size))
        np.testing.assert_array_equal(got, mask)


def test_wrong_size():
    rle = mask_util.encode(np.zeros((4, 5), np.uint8, order="F"))
    with pytest.raises(ValueError, match=r"\(4, 5\), the image \(5, 4\)"):
        compress_rle(rle, (5, 4))


@pytest.mark.parametrize("counts", [[10, 20], [2500], [-100, 2500], b"zzzz"])
def test_runs_that_do_not_fill_the_image(counts):
    with pytest.raises(ValueError, match=r"run lengths of the mask add up|compressed format"):
        compress_rle({"size": [40, 60], "counts": counts}, (40, 60))


def test_cut_counts():
    mask = next(m for m in list(masks())[2:])
    counts = mask_util.encode(np.asfortranarray(mask))["counts"]
    with pytest.raises(ValueError, match=r"add up|compressed format"):
        compress_rle({"size": [40, 60], "counts": counts[: len(counts) // 2]}, (40, 60))


@pytest.mark.parametrize("counts", ["", "\t\n", b"\xff\xff", b"o" * 20])
def test_counts_that_are_no_rle(counts):
    with pytest.raises(ValueError, match=r"compressed format|32 bits|ascii"):
        compress_rle({"size": [40, 60], "counts": counts}, (40, 60))


def test_missing_key():
    with pytest.raises(ValueError, match=r"keys .*not 'size' and 'counts'"):
        compress_rle({"counts": [2400]}, (40, 60))
