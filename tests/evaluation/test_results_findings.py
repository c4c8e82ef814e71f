"""What is odd about predictions that can be scored: said with counts, and never of good ones."""

import re

import numpy as np
import pytest

from pointrend_ext.data.findings import Findings
from pointrend_ext.evaluation.results_file import load_results
from pointrend_ext.evaluation.results_findings import Limit, find_uncounted, find_unfindable

SIZE_HW = (60, 90)


def square(y, x, height=8, width=12):
    mask = np.zeros(SIZE_HW, np.uint8)
    mask[y : y + height, x : x + width] = 1
    return mask


@pytest.fixture
def truth(instances):
    return instances.truth([SIZE_HW] * 2, [(0, 0, square(5, 5), False)], ("cat", "dog"))


@pytest.fixture
def good(instances):
    """20 predictions of different places, sizes and scores."""
    places = [
        (n % 2, n % 2, square(2 + n, 3 + 2 * n, 6 + n, 10 + n), 0.95 - 0.03 * n) for n in range(20)
    ]
    return [instances.prediction(*place) for place in places]


@pytest.fixture
def lines(truth, write_json):
    def lines(results, tasks=None):
        found = Findings()
        load_results(write_json(results), truth, tasks, found)
        assert found.num_checked == len(results)
        return found.lines()

    return lines


def test_good_predictions_are_not_odd(good, lines):
    assert lines(good) == lines(good, ("bbox",)) == lines(good, ("segm",)) == lines([]) == []
    assert lines(good[:1]) == []  # one score is not an order that is lost


def without(results, key):
    return [{k: v for k, v in r.items() if k != key} for r in results]


def corners(results):
    return [{**r, "bbox": [x, y, x + w, y + h]} for r in results for x, y, w, h in [r["bbox"]]]


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda p: [*p, p[3], p[3], p[4]], "3 of 23 (13.0%) noted: predictions equal to an"),
        (lambda p: [{**r, "score": 100 * r["score"]} for r in p], "20 of 20 (100.0%) noted: .*"),
        (lambda p: [*p[1:], {**p[0], "score": -0.1}], "1 of 20 (5.0%) noted: .* outside 0 to 1"),
        (lambda p: [{**r, "score": 1} for r in p], "predictions of one score, 1: they rank"),
        (lambda p: [*p[:-1], {**p[-1], "bbox": [9, 9, 0, 0]}], "1 of 20 .* box has no area"),
        (lambda p: [*p[:-1], {**p[-1], "bbox": [70, 9, 40, 9]}], "1 of 20 .* beyond the image;"),
        (lambda p: corners(without(p, "segmentation")), "all boxes fit as corners x0, y0, x1, y1"),
        (
            lambda p: [{**p[3], "bbox": [9, 5, 3, 9]}, *p[:3], *p[4:]],
            r"1 of 20 .*mask reaches beyond their box.*entry 0 ",
        ),
        (corners, "20 of 20 .*boxes look like x0, y0, x1, y1 (corners)"),
        (
            lambda p: [
                {**r, "bbox": list(np.divide(r["bbox"], [90, 60, 90, 60]))}
                for r in without(p, "segmentation")
            ],
            "20 of 20 .*no number above 1 (shares of the image?)",
        ),
    ],
)  # fmt: skip
def test_odd_predictions(good, lines, spoil, expected):
    pattern = re.escape(expected).replace(r"\.\*", ".*").replace(r"\ ", " ")
    assert any(re.search(pattern, line) for line in lines(spoil(good))), lines(spoil(good))


def test_empty_masks_and_where_they_are(good, instances, lines):
    nothing = instances.prediction(1, 0, np.zeros(SIZE_HW), 0.5)
    nothing["bbox"] = [1, 2, 3, 4]
    (line,) = lines([*good, nothing])
    assert line == (
        "1 of 21 (4.8%) noted: predictions with an empty mask, which match nothing; "
        "first: entry 20 (image_id 2)"
    )
    assert lines([*good, nothing], ("bbox",)) == []  # masks are not scored


def test_runs_along_rows(good, instances, lines):
    turned = []
    for result in good:
        mask = instances.rle(np.zeros(SIZE_HW))
        x, y, w, h = map(int, result["bbox"])
        pixels = square(y, x, h, w).reshape(-1)  # along rows
        wrong = pixels.reshape(SIZE_HW, order="F")
        mask = instances.rle(wrong)
        turned.append({**result, "segmentation": mask})
    (line,) = lines(turned)
    assert "20 of 20 (100.0%) noted: predictions whose boxes are not those" in line
    assert "the run lengths seem to go along the rows" in line


def entries(*keys):
    return [{"image_id": image, "category_id": k} for image, k, n in keys for _ in range(n)]


def test_limits_by_hand():
    results = entries(("a", 1, 5), ("a", 2, 2), ("b", 1, 3), ("c", 2, 4))
    for limit, excess in (
        (Limit(3, True, "x"), {"a": 2, "c": 1}),
        (Limit(3, False, "x"), {"a": 4, "c": 1}),
        (Limit(5, True, "x"), {}),
    ):
        assert limit.excess(results) == excess
        found = Findings(len(results))
        find_uncounted(results, limit, found)
        assert sum(found.counts.values()) == sum(excess.values())
        truths = find_unfindable([*results, *[{**results[0], "iscrowd": 1}] * 9], limit)
        assert sum(truths.counts.values()) == sum(excess.values())
        assert truths.num_checked == len(results)
    assert find_unfindable(results, Limit(3, True, "do this")).lines() == [
        "3 of 14 (21.4%) noted: objects that stay without a prediction, beyond the 3 of an image "
        "and class that count, in 2 images (do this); first: image 'a'"
    ]
