"""Configuration files and data set descriptions that ship with the package, and weights."""

from pointrend_ext.model_zoo.config_files import (
    get_config_file,
    get_dataset_file,
    list_config_files,
    list_dataset_files,
)
from pointrend_ext.model_zoo.released import (
    ZOO,
    ReleasedModel,
    download_address,
    download_place,
    get_checkpoint_url,
    released_models,
    released_weights,
)
from pointrend_ext.model_zoo.shipped import SHIPPED, get_weights_file, list_weights_files

__all__ = [
    "SHIPPED",
    "ZOO",
    "ReleasedModel",
    "download_address",
    "download_place",
    "get_checkpoint_url",
    "get_config_file",
    "get_dataset_file",
    "get_weights_file",
    "list_config_files",
    "list_dataset_files",
    "list_weights_files",
    "released_models",
    "released_weights",
]
