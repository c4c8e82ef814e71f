"""A trained model as a folder: weights, configuration, classes, model card; also of the HF Hub.

Nothing in such a folder is run: weights are safetensors, the rest is YAML and JSON.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from detectron2.config import CfgNode
from torch import nn

from pointrend_ext.checkpoint.files import open_atomically
from pointrend_ext.data.descriptions.values import Color, StrictModel, validate
from pointrend_ext.data.findings import first_of
from pointrend_ext.data.strict_json import parse_json
from pointrend_ext.data.strict_yaml import load_yaml
from pointrend_ext.engine.classes import Classes
from pointrend_ext.inference.model_card import model_card
from pointrend_ext.modeling.recording import default_values

CONFIG, WEIGHTS, RECORD, CARD = "config.yaml", "model.safetensors", "pointrend.json", "README.md"
FORMAT = 1
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
# Of the machine that a model was trained on: files, folders, its device.
_OF_THE_MACHINE = (
    "DATASETS.DESCRIPTIONS",
    "DATASETS.PROPOSAL_FILES_TEST",
    "DATASETS.PROPOSAL_FILES_TRAIN",
    "MODEL.DEVICE",
    "MODEL.WEIGHTS",
    "OUTPUT_DIR",
    "TEST.AP_STAR_FILE",
    "TEST.GIVEN_BOXES",
)


class _Record(StrictModel):
    """What ``pointrend.json`` holds: the SHA-256 of two files, and ``Classes``."""

    format: Literal[1]
    files: dict[str, str]
    things: list[str]
    stuff: list[str]
    stuff_colors: list[Color]
    thing_ids: list[int]

    def as_classes(self) -> Classes:
        """Return what the classes are called."""
        colors = tuple((red, green, blue) for red, green, blue in self.stuff_colors)
        return Classes(tuple(self.things), tuple(self.stuff), colors, tuple(self.thing_ids))


def write_pretrained(
    folder: str | os.PathLike[str],
    model: nn.Module,
    cfg: CfgNode,
    classes: Classes,
    scores: Mapping[str, Mapping[str, float]] | None = None,
    data_set: str = "",
) -> None:
    """Write a folder that ``read_pretrained`` reads; see ``Predictor.save_pretrained``."""
    save = _safetensors().save
    check_classes(classes, cfg)
    folder = Path(folder)
    if folder.is_dir() and not (folder / RECORD).is_file():
        others = sorted(path.name for path in folder.iterdir())
        if others:
            raise ValueError(
                f"{folder} holds other files ({first_of(others)}) and no model of this package: "
                "name a new or an empty folder."
            )
    state = model.state_dict()
    floats = {name: tensor for name, tensor in state.items() if tensor.is_floating_point()}
    odd = [f"{name} ({t.dtype})" for name, t in floats.items() if t.dtype != torch.float32]
    if odd:
        raise ValueError(
            f"The model has weights that are not of 32 bits: {first_of(odd)}. A model that is "
            "read is of 32 bits and would predict other numbers: call predictor.model.float()."
        )
    # Tensors that share memory are refused by safetensors: each gets its own.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}
    contents = {CONFIG: _portable(cfg).encode(), WEIGHTS: save(tensors, metadata={"format": "pt"})}
    files = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    record = {"format": FORMAT, "files": files, **asdict(classes)}
    contents[CARD] = model_card(folder.resolve().name, cfg, classes, scores, data_set).encode()
    contents[RECORD] = json.dumps(record, indent=1).encode()  # last: it vouches for the others
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        with open_atomically(folder / name) as file:
            file.write(data)


def _portable(cfg: CfgNode) -> str:
    """Return the text of a configuration without what is of this machine."""
    cfg, defaults = cfg.clone(), default_values()
    cfg.defrost()
    for key in _OF_THE_MACHINE:
        cfg.merge_from_list([key, defaults[key]])
    return cfg.dump()


def find_folder(path_or_repo: str | os.PathLike[str], revision: str | None = None) -> Path:
    """Find a folder on this machine, or download a model of the Hub as ``owner/name``.

    Raises:
        FileNotFoundError: there is none, or it cannot be downloaded.
        ImportError: huggingface_hub is needed and not installed.
        ValueError: a file, or a revision of a folder of this machine.
    """
    name, path = os.fspath(path_or_repo), Path(path_or_repo)
    if path.exists() and not path.is_dir():
        raise ValueError(
            f"{name} is a file: from_pretrained reads a folder that save_pretrained wrote. "
            "Weights alone go to Predictor.from_config, with their configuration."
        )
    if path.is_dir():
        if revision is not None:
            raise ValueError(f"{name} is a folder here, which has no revision {revision!r}.")
        return path
    if not _REPOSITORY.fullmatch(name):
        raise FileNotFoundError(
            f"There is no folder {name!r} (looked in {Path.cwd()}). Name one that save_pretrained "
            "wrote, or a model of the Hugging Face Hub as owner/name."
        )
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise ImportError(
            f"There is no folder {name!r}, and to look for it on the Hugging Face Hub "
            "huggingface_hub is needed: pip install huggingface-hub."
        ) from None
    try:
        patterns = [CONFIG, WEIGHTS, RECORD]
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except Exception as error:  # of the network, of the Hub, of its cache
        said = " ".join(str(error).split())
        raise FileNotFoundError(
            f"There is no folder {name!r}, and a model of that name could not be had from the "
            f"Hugging Face Hub ({type(error).__name__}: {said})."
        ) from error


def read_pretrained(folder: Path) -> tuple[Path, Path, Classes]:
    """Check a folder, and return its configuration file, its file of weights and its classes.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: it is of another version, holds unknown keys, or a file was changed.
    """
    absent = [name for name in (RECORD, CONFIG, WEIGHTS) if not (folder / name).is_file()]
    if absent:
        raise FileNotFoundError(
            f"{folder} is no complete model: {', '.join(absent)} is missing. Save it again with "
            "Predictor.save_pretrained, or download all of it."
        )
    source = str(folder / RECORD)
    content = parse_json((folder / RECORD).read_bytes(), source)
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise ValueError(
            f"{source} is of format {found!r}, and this version of pointrend_ext reads format "
            f"{FORMAT}: take the version that wrote it, or save the model again."
        )
    try:
        record = validate(_Record, content)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    for name in (CONFIG, WEIGHTS):
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != record.files.get(name):
            raise ValueError(
                f"{folder / name} is not the file that was saved (its SHA-256 is another than in "
                f"{RECORD}): it was changed, or not copied completely. Values are changed by opts."
            )
    # A base would be another file of this machine.
    stated: Any = load_yaml((folder / CONFIG).read_text(encoding="utf-8"), str(folder / CONFIG))
    if not isinstance(stated, dict) or "_BASE_" in stated:
        raise ValueError(f"{folder / CONFIG} must hold all keys by itself, without _BASE_.")
    return folder / CONFIG, folder / WEIGHTS, record.as_classes()


def check_classes(classes: Classes, cfg: CfgNode) -> None:
    """Raise ValueError where there are more or fewer names, ids or colours than classes."""
    things = cfg.MODEL.ROI_HEADS.NUM_CLASSES
    stuff = max(cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES, 2)  # one logit tells two classes apart
    for key, values in vars(classes).items():
        number = things if key.startswith("thing") else stuff
        if values and len(values) != number:
            raise ValueError(
                f"There are {len(values)} {key} ({RECORD}), but the model has {number} such "
                "classes: name all of them in their order, or none."
            )


def load_exactly(model: nn.Module, file: Path) -> None:
    """Load weights into a model that has exactly these.

    Raises:
        ValueError: names, shapes or types of numbers differ.
    """
    found, wanted = _safetensors().load_file(file), model.state_dict()
    faults = [f"{name} is missing" for name in wanted if name not in found]
    faults += [f"{name} is no part of the model" for name in found if name not in wanted]
    for name in found.keys() & wanted.keys():
        ours, theirs = ((tuple(t.shape), t.dtype) for t in (wanted[name], found[name]))
        if ours != theirs:
            faults.append(f"{name} is {theirs}, and {ours} is needed")
    if faults:
        raise ValueError(f"{file} does not fit its configuration: {first_of(faults)}.")
    model.load_state_dict(found)


def _safetensors() -> Any:
    try:
        import safetensors.torch
    except ImportError:
        raise ImportError(
            "A model's folder holds its weights as safetensors, which is not installed: pip "
            "install safetensors."
        ) from None
    return safetensors.torch
