"""A user's own data sets: folders of label maps and COCO files, from a small YAML or JSON file."""

from pointrend_ext.data.descriptions.description import read_description
from pointrend_ext.data.descriptions.register import register_description
from pointrend_ext.data.descriptions.semantic_folder import (
    load_semantic_folder,
    register_semantic_folder,
)

__all__ = [
    "load_semantic_folder",
    "read_description",
    "register_description",
    "register_semantic_folder",
]
