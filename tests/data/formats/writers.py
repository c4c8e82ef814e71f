"""The scene of tests/data/exports in the layouts that annotation tools document."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pycocotools.mask as mask_util
import yaml
from PIL import Image

from tests.data.exports.scene import CLASSES, IMAGES, SIZES_HW, flat, shapes


def pictures(folder: Path, *names: str) -> Path:
    """Write the pictures of the scene, or some of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or IMAGES:
        height, width = SIZES_HW[name]
        Image.new("RGB", (width, height), (90, 120, 150)).save(folder / name)
    return folder


def coco(form="polygons", names=IMAGES, prefix="", image_ids=None, first_id=1):
    """The scene in COCO's format; masks as run lengths for ``form`` "masks"."""
    names, annotations = list(names), []
    for shape in shapes(form):
        if shape.image in names:
            mask = shape.mask()
            rle = mask_util.encode(np.asfortranarray(mask, dtype=np.uint8))
            text = {"size": rle["size"], "counts": rle["counts"].decode()}
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": names.index(shape.image) + first_id,
                    "category_id": CLASSES.index(shape.name) + first_id,
                    "bbox": mask_util.toBbox(rle).tolist(),
                    "area": float(mask.sum()),
                    "iscrowd": 0,
                    "segmentation": text if form == "masks" else flat(shape),
                }
            )
    images = [
        {"id": i, "file_name": prefix + n, "height": SIZES_HW[n][0], "width": SIZES_HW[n][1]}
        for i, n in enumerate(names, start=first_id)
    ]
    categories = [{"id": i, "name": n} for i, n in enumerate(CLASSES, start=first_id)]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_json(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


SPLITS = {"train": IMAGES[:2], "valid": IMAGES[2:]}


def roboflow(folder: Path) -> Path:
    for split, names in SPLITS.items():
        pictures(folder / split, *names)
        write_json(folder / split / "_annotations.coco.json", coco(names=names, first_id=0))
    (folder / "README.roboflow.txt").write_text("exported")
    return folder


def cvat(folder: Path) -> Path:
    pictures(folder / "images/default")
    write_json(folder / "annotations/instances_default.json", coco("masks"))
    return folder


def label_studio(folder: Path) -> Path:
    pictures(folder / "images")
    write_json(folder / "result.json", coco(prefix="images\\", first_id=0))
    return folder


def coco_annotator(folder: Path) -> Path:
    """Its export names pictures alone; their ``path`` is that of its server."""
    pictures(folder / "scenes")
    content = coco()
    for image in content["images"]:
        image["path"] = f"/datasets/scenes/{image['file_name']}"
    write_json(folder / "scenes-1.json", content)
    return folder


def coco_2017(folder: Path) -> Path:
    for split, names in (("train2017", IMAGES[:2]), ("val2017", IMAGES[2:])):
        pictures(folder / split, *names)
        write_json(folder / f"annotations/instances_{split}.json", coco("masks", names))
        captions = {"images": [], "annotations": [{"image_id": 1, "caption": "a ring"}]}
        write_json(folder / f"annotations/captions_{split}.json", captions)
        write_json(folder / f"annotations/person_keypoints_{split}.json", coco("masks", names))
    return folder


def yolo_lines(name: str) -> str:
    lines = []
    height, width = SIZES_HW[name]
    for shape in shapes("rings"):
        if shape.image == name:
            corners = shape.rings[0].corners
            numbers = [f"{v:.6f}" for x, y in corners for v in (x / width, y / height)]
            lines.append(" ".join([str(CLASSES.index(shape.name)), *numbers]))
    return "".join(f"{line}\n" for line in lines)


def yolo(folder: Path, *, names=None, splits=SPLITS, stated="../{}/images", **more) -> Path:
    """Roboflow's layout, whose paths lead out of the folder by one step too many."""
    for split, images in splits.items():
        pictures(folder / split / "images", *images)
        (folder / split / "labels").mkdir()
        for image in images:
            if yolo_lines(image):
                file = folder / split / "labels" / f"{Path(image).stem}.txt"
                file.write_text(yolo_lines(image))
    content = {key.replace("valid", "val"): stated.format(key) for key in splits}
    content |= {"nc": len(CLASSES), "names": names or list(CLASSES), **more}
    (folder / "data.yaml").write_text(yaml.safe_dump(content))
    return folder


def yolo_of_cvat(folder: Path) -> Path:
    """Lists of pictures with a folder before them, and classes by number."""
    for split, images in SPLITS.items():
        pictures(folder / "images" / split, *images)
        (folder / "labels" / split).mkdir(parents=True)
        lines = [f"data/images/{split}/{image}" for image in images]
        (folder / f"{split}.txt").write_text("\n".join(lines))
        for image in images:
            (folder / "labels" / split / f"{Path(image).stem}.txt").write_text(yolo_lines(image))
    content = {"path": "./", "train": "train.txt", "val": "valid.txt"}
    content["names"] = dict(enumerate(CLASSES))
    (folder / "data.yaml").write_text(yaml.safe_dump(content))
    return folder


def yolo_of_label_studio(folder: Path) -> Path:
    pictures(folder / "images")
    (folder / "labels").mkdir()
    for image in IMAGES:
        (folder / "labels" / f"{Path(image).stem}.txt").write_text(yolo_lines(image))
    (folder / "classes.txt").write_text("\n".join(CLASSES))
    write_json(folder / "notes.json", {"categories": [], "info": {}})
    return folder


def labelme_shapes(name: str, form="polygons"):
    """Rectangles as two corners, parts of one object as a group; masks as PNG in base64."""
    entries = []
    for group, shape in enumerate(s for s in shapes(form) if s.image == name):
        for ring in shape.rings:
            is_box = len({x for x, _ in ring.corners}) == 2 and len(shape.rings) == 1
            points = [ring.corners[0], ring.corners[2]] if is_box else ring.corners
            entry = {"label": shape.name, "points": [list(p) for p in points], "flags": {}}
            entry |= {"group_id": group if len(shape.rings) > 1 else None, "description": ""}
            entries.append({**entry, "shape_type": "rectangle" if is_box else "polygon"})
    return entries


def labelme_mask(shape):
    """The shape of a mask: its bounding box, inclusive, and its pixels."""
    mask = shape.mask()
    ys, xs = np.nonzero(mask)
    box = [[int(xs.min()), int(ys.min())], [int(xs.max()), int(ys.max())]]
    part = mask[box[0][1] : box[1][1] + 1, box[0][0] : box[1][0] + 1]
    file = io.BytesIO()
    Image.fromarray(part).save(file, "PNG")
    text = base64.b64encode(file.getvalue()).decode()
    return {"label": shape.name, "points": box, "shape_type": "mask", "mask": text}


def labelme(folder: Path, masks=False) -> Path:
    pictures(folder)
    for name in IMAGES:
        own = [labelme_mask(s) for s in shapes("masks") if s.image == name]
        height, width = SIZES_HW[name]
        content = {"version": "5.5.0", "flags": {}, "imagePath": name, "imageData": None}
        content |= {"imageHeight": height, "imageWidth": width}
        content["shapes"] = own if masks else labelme_shapes(name)
        write_json(folder / f"{Path(name).stem}.json", content)
    return folder


def via(folder: Path, *, project=True, as_dict=False) -> Path:
    pictures(folder)
    entries = {}
    for name in IMAGES:
        regions = []
        for shape in shapes("rings"):
            if shape.image == name:
                xs, ys = zip(*shape.rings[0].corners, strict=True)
                area = {"name": "polygon", "all_points_x": list(xs), "all_points_y": list(ys)}
                kind = {"kind of thing": shape.name}
                regions.append({"shape_attributes": area, "region_attributes": kind})
        listed = {str(i): region for i, region in enumerate(regions)} if as_dict else regions
        entries[f"{name}123"] = {"filename": name, "size": 123, "regions": listed}
    project_file = {"_via_settings": {}, "_via_img_metadata": entries, "_via_attributes": {}}
    write_json(folder / "via_project.json", project_file if project else entries)
    return folder
