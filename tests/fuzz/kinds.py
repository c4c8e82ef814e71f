"""The kinds of input: what is mutated, what runs, and what counts as right."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import coco, images, settings
from tests.fuzz.runs import Result, score, start, train
from tests.fuzz.trees import Change, Mutator, bytes_mutators, mutators_of, tree_mutator


@dataclass(frozen=True)
class Kind:
    """One kind.

    Attributes:
        mutators: seed n takes number n modulo their number.
        run: what the product does with the project in the working folder.
        explains: whether the files, read by an oracle, mean just this other result, so that no
            notice is due; an error means no.
    """

    mutators: list[Mutator]
    run: Callable[[], Result]
    explains: Callable[[Path, Result], bool]


def _json(name: str, changes: dict[str, Change]) -> list[Mutator]:
    trees = [tree_mutator(name)] * (len(changes) * 2 // 3)
    return [*mutators_of(name, changes), *bytes_mutators(name), *trees]


_train = functools.partial(train, "train_instance.yaml")
_train_labels = functools.partial(train, "train_semantic.yaml")
_score = functools.partial(
    score, "--annotations", "val.json", "--images", "val", "--predictions", "predictions.json"
)
_score_labels = functools.partial(
    score, "--description", "semantic.yaml", "--dataset", "fuzz_val", "--predictions", "predicted"
)

KINDS: dict[str, Kind] = {
    "annotations": Kind(
        _json("train.json", coco.ANNOTATIONS),
        _train,
        lambda p, _: coco.is_plausible(p / "train.json", p / "train"),
    ),
    "truth": Kind(
        _json("val.json", coco.ANNOTATIONS),
        _score,
        lambda p, _: coco.is_plausible(p / "val.json"),
    ),
    "predictions": Kind(
        _json("predictions.json", coco.RESULTS),
        _score,
        lambda p, _: coco.are_plausible_results(p),
    ),
    "images": Kind(
        images.file_mutators(images.IMAGES, "train"),
        _train,
        lambda p, _: images.are_plausible(p / "train"),
    ),
    "label maps": Kind(
        images.file_mutators(images.LABELS, "train_labels"),
        _train_labels,
        lambda p, _: images.are_plausible_labels(p / "train_labels"),
    ),
    "label maps scored": Kind(
        images.file_mutators(images.LABELS, "val_labels")
        + images.file_mutators(images.LABELS, "predicted"),
        _score_labels,
        lambda p, _: (
            images.are_plausible_labels(p / "val_labels")
            and images.are_plausible_labels(p / "predicted", are_true=False)
        ),
    ),
    "descriptions": Kind(
        settings.description_mutators("instance.yaml"),
        _train,
        lambda p, _: settings.is_plausible_description(p / "instance.yaml"),
    ),
    "descriptions of label maps": Kind(
        settings.description_mutators("semantic.yaml"),
        _train_labels,
        lambda p, _: settings.is_plausible_description(p / "semantic.yaml"),
    ),
    "configurations": Kind(
        settings.config_mutators(),
        lambda: start("train_instance.yaml")[1],
        settings.reads_as_written,
    ),
}
