"""Swaps are counted, rounding is measured, and nothing passes by being no number."""

from pathlib import Path

import numpy as np
import pytest

from pointrend_ext.deploy.checks import Agreement, Figure
from pointrend_ext.deploy.report import ExportReport


def test_what_is_beyond_the_tolerance_is_counted_and_not_measured():
    agreement = Agreement(0.1)
    theirs = np.zeros((2, 5))
    ours = np.array([[0.05, 0, 0, 0.5, np.nan], [0, -0.09, 0.2, 9, 0]])
    agreement.add(ours, theirs)
    assert (agreement.largest, agreement.beyond, agreement.cells) == (pytest.approx(0.09), 3, 5)
    agreement.add(theirs, theirs)
    assert agreement.share_beyond == 0.3
    agreement.add_decisions(np.array([1, 2, 3, 4]), np.array([1, 2, 0, 4]))
    assert agreement.share_changed == 0.25


def test_equal_infinities_and_nans_agree_and_others_do_not():
    values = np.array([[np.inf, -np.inf, np.nan, 1.0]])
    agreement = Agreement(1e-4)
    agreement.add(values, values)
    assert (agreement.beyond, agreement.largest) == (0, 0)
    agreement.add(values, -values)
    assert agreement.beyond == 3


def test_nothing_agrees_with_nothing():
    agreement = Agreement(1e-4)
    agreement.add(np.zeros((1, 0, 4, 4)), np.zeros((1, 0, 4, 4)))
    agreement.add_decisions(np.zeros(0), np.zeros(0))
    assert (agreement.share_beyond, agreement.share_changed, agreement.largest) == (0, 0, 0)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"the shape \(2, 3\) where the model returns \(2, 4\)"):
        Agreement(1e-4).add(np.zeros((2, 3)), np.zeros((2, 4)))


def test_a_report_holds_as_long_as_every_limit_does():
    good = [Figure("pixels", 5), Figure("share", 0.1, 0.1)]
    report = ExportReport(Path("a.onnx"), good)
    report.raise_if_wrong()
    assert report.by_name() == {"pixels": 5, "share": 0.1}
    assert "0.1" in report.table()
    bad = ExportReport(Path("a.onnx"), [*good, Figure("logits", float("nan"), 1.0)])
    with pytest.raises(ValueError, match=r"logits nan \(at most 1\)\. a\.onnx was not written"):
        bad.raise_if_wrong()
