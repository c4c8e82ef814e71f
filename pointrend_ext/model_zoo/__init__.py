"""The configuration files that ship with the package."""

from pointrend_ext.model_zoo.config_files import get_config_file, list_config_files

__all__ = ["get_config_file", "list_config_files"]
