"""Run-length masks against pycocotools, and the broken ones that it lets through."""

import itertools

import numpy as np
import pycocotools.mask as mask_util
import pytest

from pointrend_ext.data.rle import compress_rle, run_lengths

MASKS = {
    "empty": np.zeros((4, 5), np.uint8),
    "full": np.ones((4, 5), np.uint8),
    "noise": (np.random.default_rng(3).random((40, 60)) < 0.3).astype(np.uint8),
    "big": np.pad(np.ones((550, 770), np.uint8), ((100, 50), (30, 100))),
}


def runs_of(mask):
    """Run lengths in column order, zeros first; a slow loop."""
    pixels = mask.flatten(order="F").tolist()
    runs = [len(list(run)) for _, run in itertools.groupby(pixels)]
    return [0, *runs] if pixels[0] else runs


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_runs_and_round_trip(mask):
    runs = runs_of(mask)
    compressed = mask_util.encode(np.asfortranarray(mask))
    assert run_lengths(compressed["counts"]).tolist() == runs
    size = mask.shape
    for counts in (compressed["counts"], compressed["counts"].decode(), runs):
        got = mask_util.decode(compress_rle({"size": list(size), "counts": counts}, size))
        np.testing.assert_array_equal(got, mask)


def test_size_in_floats():
    counts = mask_util.encode(np.asfortranarray(np.ones((40, 60), np.uint8)))["counts"]
    assert mask_util.area(compress_rle({"size": [40.0, 60.0], "counts": counts}, (40, 60))) == 2400


FULL = mask_util.encode(np.asfortranarray(MASKS["noise"]))["counts"]


@pytest.mark.parametrize(
    ("rle", "message"),
    [
        ({"size": [60, 40], "counts": [2400]}, r"\(60, 40\), the image \(40, 60\)"),
        ({"size": [60, 40], "counts": [2400]}, "width and height are swapped"),
        ({"size": "40x60", "counts": [2400]}, r"\(height, width\) '40x60', the image \(40, 60\)"),
        *(
            ({"size": [40, 60], "counts": counts}, "neither a list of whole numbers nor")
            for counts in (None, ["2400"], [2400.5], [[2400]], 2400, [None])
        ),
        ({"counts": [2400]}, r"keys .*not 'size' and 'counts'"),
        ({"size": [40, 60], "counts": [10, 20]}, "mask add up to 30, not to the 2400 pixels"),
        *(
            ({"size": [40, 60], "counts": counts}, "mask add up|compressed format")
            for counts in ([2500], [-100, 2500], FULL[: len(FULL) // 2])
        ),
        *(
            ({"size": [40, 60], "counts": counts}, "compressed format")
            for counts in ("", "\t\n", b"zzzz", b"\xff\xff", b"o" * 20)
        ),
    ],
)
def test_broken_masks(rle, message):
    with pytest.raises(ValueError, match=message):
        compress_rle(rle, (40, 60))


def test_runs_whose_sum_overflows_to_the_right_one():
    counts = [2**63 - 1, 2**63 - 1, 26]
    assert np.array(counts).sum() == 24
    with pytest.raises(
        ValueError, match="mask add up to no 24 pixels of the image: one is below 0 or above"
    ):
        compress_rle({"size": [4, 6], "counts": counts}, (4, 6))


def test_counts_beyond_ascii():
    with pytest.raises(ValueError, match="not in COCO's compressed format"):
        compress_rle({"size": [4, 6], "counts": "é"}, (4, 6))
