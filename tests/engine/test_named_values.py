"""NAME=VALUE on a command line."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from pointrend_ext.engine.named_values import named_path, named_value


def test_split_at_the_first_sign():
    assert named_value("a model=b=c") == ("a model", "b=c")
    assert named_path("+FAM=output/run") == ("+FAM", Path("output/run"))


def test_no_sign_is_named():
    with pytest.raises(argparse.ArgumentTypeError, match="'output/run' is not of the form"):
        named_path("output/run")
