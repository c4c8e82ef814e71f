"""What an evaluation says: the content of ``evaluation.json``, with its types."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from pointrend_ext.data.strict_json import read_typed_json


@dataclass(frozen=True)
class Score:
    """A score, or the difference of two, and its interval in per cent; None where there is none."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def side_of_zero(self) -> int:
        """1 if the whole interval is above 0, -1 if it is below, else 0."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)

    def text(self, *, signed: bool = False) -> str:
        """Write the value with two decimals, "-" where there is none."""
        return "-" if self.value is None else f"{self.value:{'+' * signed}.2f}"

    def interval_text(self, *, signed: bool = False) -> str:
        """Write the interval in brackets, "" where there is none."""
        if self.low is None or self.high is None:
            return ""
        sign = "+" * signed
        return f"[{self.low:{sign}.2f}, {self.high:{sign}.2f}]"


TaskScores = dict[str, dict[str, Score]]
"""Task ("segm", ...) -> metric ("AP", ...) -> score."""


@dataclass(frozen=True)
class DataSetRecord:
    """The data set: its name, annotation file or folder, number of images and class names."""

    name: str
    kind: Literal["instances", "semantic", "panoptic"]
    source: str
    num_images: int
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Intervals:
    """How intervals were made: draws of the images (0: none), their seed, share inside (0..1)."""

    draws: int
    seed: int
    level: float


@dataclass(frozen=True)
class ScoreRange:
    """How many predictions have a score between ``low`` and ``high``, in [0, 1].

    Attributes:
        mean_score: None of no predictions.
        precision: share of right ones by IoU threshold ("0.50"), None where none counts.
    """

    low: float
    high: float
    predictions: int
    mean_score: float | None
    precision: dict[str, float | None]


@dataclass(frozen=True)
class ModelRecord:
    """One model: its file of predictions, its scores, and for masks how reliable they are."""

    name: str
    predictions: str
    num_predictions: int
    scores: TaskScores
    reliability: tuple[ScoreRange, ...] = ()


@dataclass(frozen=True)
class Difference:
    """The scores of a model minus those of another one."""

    model: str
    against: str
    scores: TaskScores


@dataclass(frozen=True)
class FoundObject:
    """The prediction of a model for an object: its position in the results file, and its score.

    ``iou`` is that of the masks, ``boundary_iou`` that of their boundaries; all in [0, 1].
    """

    prediction: int
    score: float
    iou: float
    boundary_iou: float


@dataclass(frozen=True)
class ObjectExample:
    """One true object as each model sees it, None where a model did not find it.

    ``image_file`` is None if the folder of the images is not known.
    """

    annotation_id: int | str
    image_id: int | str
    image_file: str | None
    class_name: Annotated[str, Field(alias="class")]
    found_by_all: bool
    models: dict[str, FoundObject | None]


@dataclass(frozen=True)
class ImageExample:
    """One image with the scores of each model on it, by metric in per cent.

    ``index`` is the position of the image in the data set.
    """

    image_file: str
    truth_file: str
    index: int
    models: dict[str, dict[str, float]]


Examples = tuple[ObjectExample, ...] | tuple[ImageExample, ...]


@dataclass(frozen=True)
class Evaluation:
    """Everything; ``docs/evaluation.md`` describes it.

    Attributes:
        data_set: what the predictions were scored against.
        intervals: how the intervals were made.
        models: at least one.
        differences: of every other model from the first.
        examples: where the models differ most: objects, or images of a semantic data set.
        notices: what to know before reading the numbers: what is not scored, left out or odd.
        version: of the file format; files without it are of version 1.
    """

    data_set: DataSetRecord
    intervals: Intervals
    models: Annotated[tuple[ModelRecord, ...], Field(min_length=1)]
    differences: tuple[Difference, ...]
    examples: Examples
    notices: tuple[str, ...] = ()
    version: Literal[1] = 1

    @property
    def objects(self) -> list[ObjectExample]:
        """The examples that are objects."""
        return [example for example in self.examples if isinstance(example, ObjectExample)]

    @property
    def images(self) -> list[ImageExample]:
        """The examples that are images."""
        return [example for example in self.examples if isinstance(example, ImageExample)]


def write_evaluation(evaluation: Evaluation, path: Path) -> None:
    """Write ``evaluation.json``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(evaluation_json(evaluation) + "\n", encoding="utf-8")


def evaluation_json(evaluation: Evaluation) -> str:
    """Return what ``evaluation.json`` holds; what there is not is null."""
    return TypeAdapter(Evaluation).dump_json(evaluation, by_alias=True, indent=1).decode()


def read_evaluation(path: str | os.PathLike[str]) -> Evaluation:
    """Read ``evaluation.json``.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is not JSON, or not of this version; the message names the first wrong place.
    """
    return read_typed_json(path, Evaluation, "Evaluation")
