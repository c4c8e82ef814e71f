"""Reading and checking a description of a data set. docs/datasets.md explains every key."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pointrend_ext.data.descriptions.values import (
    ClassNames,
    LabelValues,
    Name,
    StrictModel,
    Text,
    validate,
)
from pointrend_ext.data.strict_json import parse_json
from pointrend_ext.data.strict_yaml import load_yaml
from pointrend_ext.data.text_files import read_text


class _LabelSplit(StrictModel):
    images: Text
    labels: Text
    names: Text | None = None


class _InstanceSplit(StrictModel):
    images: Text
    annotations: Text


class _PanopticSplit(StrictModel):
    images: Text
    segments: Text
    annotations: Text


class SemanticDescription(LabelValues):
    """Images and label maps; ``root`` is absolute once the description was read.

    Attributes:
        name: the data set of a split is called ``<name>_<split>``.
        splits: by split, the image folder and the label folder, and where not all of their files
            count, a text file with the names of those that do.
    """

    name: Name
    task: Literal["semantic"]
    root: Text
    splits: Annotated[dict[Name, _LabelSplit], Field(min_length=1)]


class InstanceDescription(StrictModel):
    """Images and annotations in COCO's format; ``root`` is absolute once the description was read.

    Attributes:
        name: the data set of a split is called ``<name>_<split>``.
        splits: by split, the image folder and the annotation file.
        classes: class names by contiguous id; None where the annotation file alone has them.
    """

    name: Name
    task: Literal["instance"]
    root: Text
    splits: Annotated[dict[Name, _InstanceSplit], Field(min_length=1)]
    classes: ClassNames | None = None


class PanopticDescription(StrictModel):
    """Images and panoptic segments in COCO's format, as the others.

    Attributes:
        name: the data set of a split is called ``<name>_<split>``.
        splits: by split the image folder, the folder of pictures of segment ids, the JSON file.
    """

    name: Name
    task: Literal["panoptic"]
    root: Text
    splits: Annotated[dict[Name, _PanopticSplit], Field(min_length=1)]


Description = SemanticDescription | InstanceDescription | PanopticDescription

_MODELS: dict[str, type[Description]] = {
    "semantic": SemanticDescription,
    "instance": InstanceDescription,
    "panoptic": PanopticDescription,
}


def read_description(path: str | os.PathLike[str]) -> Description:
    """Read a description; whether the data are there is not checked yet.

    Args:
        path: a file in JSON when it ends in ``.json``, else in YAML.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not valid; the message names the file, the key and what is allowed.
    """
    path = Path(path)
    source = f"Data set description {str(path)!r}"
    if path.suffix == ".json":
        content = parse_json(path.read_bytes(), source)
    else:
        content = load_yaml(read_text(path, source), source)
    content = content if isinstance(content, dict) else {}
    try:
        task = content.get("task")
        if task not in list(_MODELS):
            raise ValueError(
                f"'task' is {task!r}. A key 'task' is needed; choose from: {', '.join(_MODELS)}."
            )
        description = validate(_MODELS[task], content)
    except ValueError as error:
        text = " ".join(str(error).split())
        raise ValueError(f"{source}: {text} (docs/datasets.md lists the keys.)") from error
    root = _resolve_root(description.root, path.resolve().parent)
    return description.model_copy(update={"root": str(root)})


def _resolve_root(root: str, folder: Path) -> Path:
    """Apply the one rule of ``root``: a leading dot is the description's folder."""
    if root.replace("\\", "/").split("/")[0] in (".", ".."):
        return Path(os.path.abspath(folder / root))
    datasets = Path(os.path.expanduser(os.environ.get("DETECTRON2_DATASETS", "datasets")))
    return Path(os.path.abspath(datasets / os.path.expanduser(root)))
