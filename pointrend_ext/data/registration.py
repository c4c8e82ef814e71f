"""Registering what a command names: toy data sets, and those of descriptions."""

import os
from collections.abc import Iterable
from pathlib import Path

from pointrend_ext.data.descriptions import register_description
from pointrend_ext.data.toy import ensure_toy_data, register_toy_datasets


def register_datasets(
    names: Iterable[str], descriptions: Iterable[str] = (), *, generate: bool = False
) -> None:
    """Register the toy data sets, if one of them is named, and described ones.

    Args:
        names: data sets that will be used. Toy data lie below ``$DETECTRON2_DATASETS``.
        descriptions: see ``register_description``, also for errors.
        generate: whether the files of a named toy data set are made where there are none. A set
            that the user generated with other numbers is used as it is.
    """
    root = os.environ.get("DETECTRON2_DATASETS", "datasets")
    toy_names = {name for name in names if name.startswith("toy_")}
    if toy_names:
        is_known = bool(toy_names & set(register_toy_datasets(root)))
        if generate and is_known and not Path(root, "toy", "toy.json").is_file():
            ensure_toy_data(root)
    for description in descriptions:
        register_description(description)
