"""The configuration files and data set descriptions that ship with the package."""

from pointrend_ext.model_zoo.config_files import (
    get_config_file,
    get_dataset_file,
    list_config_files,
    list_dataset_files,
)

__all__ = ["get_config_file", "get_dataset_file", "list_config_files", "list_dataset_files"]
