"""A panoptic data set of two images on disk."""

import copy
import json
from types import SimpleNamespace

import numpy as np
from PIL import Image

from pointrend_ext.data.panoptic import segment_picture

CATEGORIES = [
    {"id": 7, "name": "sky", "isthing": 0},
    {"id": 3, "name": "gear", "isthing": 1},
    {"id": 2, "name": "star", "isthing": 1},
    {"id": 9, "name": "sand", "isthing": 0},
]
SIZE_HW = (40, 60)
RED, BLUE, SKY, SAND, CROWD = 256 * 200 + 17, 2**24 - 1, 5, 65536, 1000


def id_map(shift=0):
    """A red star and a blue gear before sky and sand, a crowd of stars, and a corner of nothing."""
    ids = np.full(SIZE_HW, SKY)
    ids[25:] = SAND
    ids[5 + shift : 15 + shift, 8:30] = RED
    ids[10:30, 40:50] = BLUE
    ids[32:38, 20:30] = CROWD
    ids[:4, :4] = 0
    return ids


def segments_info():
    listed = [(RED, 2, 0), (SKY, 7, 0), (BLUE, 3, 0), (SAND, 9, 0), (CROWD, 2, 1)]
    return [{"id": i, "category_id": c, "iscrowd": crowd, "area": 1} for i, c, crowd in listed]


def write(root, *, folder="", content=None):
    """Write images and annotations below a folder, of ``content`` where that is given."""
    for place in (f"images/{folder}", "segments"):
        (root / place).mkdir(parents=True, exist_ok=True)
    for number in (1, 2):
        noise = np.random.default_rng(number).integers(0, 256, (*SIZE_HW, 3)).astype(np.uint8)
        Image.fromarray(noise).save(root / f"images/{folder}/{number}.jpg")
        Image.fromarray(segment_picture(id_map(number))).save(root / f"segments/{number}.png")
    height, width = SIZE_HW
    written = content or {
        "images": [
            {"id": n, "file_name": f"{n}.jpg", "height": height, "width": width} for n in (1, 2)
        ],
        "categories": copy.deepcopy(CATEGORIES),
        "annotations": [
            {"image_id": n, "file_name": f"{n}.png", "segments_info": segments_info()}
            for n in (2, 1)
        ],
    }
    json_file = root / "panoptic.json"
    json_file.write_text(json.dumps(written))
    folders = str(root / "images"), str(root / "segments"), str(json_file)
    return SimpleNamespace(root=root, json_file=json_file, content=written, folders=folders)
