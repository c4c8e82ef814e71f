"""The weights that the original and Detectron2 have released for our configurations."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

from pointrend_ext.model_zoo.config_files import get_config_file

ZOO = "zoo"
"""As ``MODEL.WEIGHTS`` or ``--weights``: the released weights of the configuration."""

_SCHEME, _SERVER = "detectron2://", "https://dl.fbaipublicfiles.com/detectron2/"
_TABLE = Path(__file__).with_name("released.json")


@dataclass(frozen=True)
class ReleasedModel:
    """Weights of a configuration.

    Attributes:
        weights: address that ``MODEL.WEIGHTS`` takes.
        published: metric and value on the data set's val images, in per cent, as its authors state
            them (README of Detectron2's PointRend project, and Detectron2's model zoo).
    """

    weights: str
    published: dict[str, float]


def released_models() -> dict[str, ReleasedModel]:
    """Return all released models by the name of their configuration."""
    table = json.loads(_TABLE.read_text(encoding="utf-8"))
    return {name: ReleasedModel(**entry) for name, entry in table.items()}


def get_checkpoint_url(config: str | os.PathLike[str]) -> str:
    """Return the address of the released weights of a configuration.

    Args:
        config: the name or the path of a configuration that this package ships.

    Raises:
        ValueError: there are none for it.
    """
    return released_weights([config])


def download_address(weights: str) -> str:
    """Return the web address of weights: what Detectron2's ``detectron2://`` stands for."""
    return weights.replace(_SCHEME, _SERVER, 1) if weights.startswith(_SCHEME) else weights


def download_place(address: str, cache: str | os.PathLike[str] | None = None) -> Path:
    """Return where a file of an address is looked for before it is downloaded.

    Args:
        address: of the web.
        cache: the folder of downloads; by default that of iopath, ``$FVCORE_CACHE`` or
            ``~/.torch/iopath_cache``.
    """
    folder = cache or os.path.expanduser(os.getenv("FVCORE_CACHE", "~/.torch/iopath_cache"))
    return Path(folder, urlparse(address).path.lstrip("/"))


def released_weights(files: Iterable[str | os.PathLike[str]]) -> str:
    """Return the address of the weights of the first file that has some.

    Args:
        files: names or paths: of a configuration, and of the files that it is based on.

    Raises:
        ValueError: none has.
    """
    models = released_models()
    by_path = {os.path.realpath(get_config_file(name)): model for name, model in models.items()}
    known = [os.fspath(file) for file in files]
    for file in known:
        model = models.get(file) or by_path.get(os.path.realpath(file))
        if model is not None:
            return model.weights
    listed = ", ".join(models)
    raise ValueError(
        f"No weights were released for {known[0] if known else 'a run without configuration'!r}: "
        f"{ZOO!r} stands for those of {listed}, and of configurations based on them."
    )
