"""Image files and label maps as other programs write them."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

import cv2
import numpy as np
from PIL import Image, ImageOps

from tests.fuzz.base import COLORS, HEIGHT, IGNORED, NUM_LABELS, WIDTH
from tests.fuzz.trees import Mutator, flipped

ORIENTATION = 274
_STORED = {
    2: 0,
    3: 3,
    4: 1,
    5: 5,
    6: 2,
    7: 6,
    8: 4,
}  # EXIF -> transpose that makes it upright again
Rewrite = Callable[[Random, Image.Image, Path], object]


def _as(kind: str, convert: Callable[[Image.Image], Image.Image] = lambda i: i, **how) -> Rewrite:
    return lambda rng, image, file: convert(image).save(file, kind, **how)


def _grey(kind: str, convert: Callable[[np.ndarray], np.ndarray]) -> Rewrite:
    """Write what a function makes of the grey values."""
    return lambda rng, image, file: Image.fromarray(convert(np.asarray(image.convert("L")))).save(
        file, kind
    )


def _labels(convert: Callable[[np.ndarray], np.ndarray]) -> Rewrite:
    """Write what a function makes of the classes; what is ignored stays."""
    return _grey("PNG", lambda v: np.where(v < NUM_LABELS, convert(v), v).astype(np.uint8))


def _bytes(convert: Callable[[Random, bytes], bytes]) -> Rewrite:
    return lambda rng, image, file: file.write_bytes(convert(rng, file.read_bytes()))


def _instead(make: Callable[[Path], object]) -> Rewrite:
    return lambda rng, image, file: (file.unlink(), make(file))


def _turned(kind: str, *numbers: int, is_upright: bool = True) -> Rewrite:
    """Write an orientation, with the picture stored so that it is upright again, or as it is."""

    def rewrite(rng: Random, image: Image.Image, file: Path) -> None:
        exif, number = Image.Exif(), rng.choice(numbers or [*_STORED])
        exif[ORIENTATION] = number
        stored = image.transpose(Image.Transpose(_STORED[number])) if is_upright else image
        stored.save(file, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))

    return rewrite


def _of_16_bits(rng: Random, image: Image.Image, file: Path) -> None:
    colors = np.asarray(image.convert("RGB")).astype(np.uint16) * 257
    file.write_bytes(cv2.imencode(".png", colors)[1].tobytes())


def _frames(kind: str) -> Rewrite:
    def rewrite(rng: Random, image: Image.Image, file: Path) -> None:
        grey = image.convert("L")
        grey.save(file, kind, save_all=True, append_images=[ImageOps.invert(grey)])

    return rewrite


def _with_large_header(rng: Random, data: bytes) -> bytes:
    header = b"IHDR" + struct.pack(">II", 60000, 60000) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


FILES: dict[str, Rewrite] = {
    "cut": _bytes(lambda rng, data: data[: rng.randrange(len(data))]),
    "empty": _bytes(lambda rng, data: b""),
    "a text": _bytes(lambda rng, data: b"<html>404</html>"),
    "one bit changed": _bytes(lambda rng, data: data[:8] + flipped(rng, data[8:])),
    "something behind": _bytes(lambda rng, data: data + b"\0" * 100),
    "a header of 3600 megapixels": _bytes(_with_large_header),
    "absent": _instead(lambda file: None),
    "a folder": _instead(Path.mkdir),
    "a link to itself": _instead(lambda file: file.symlink_to(file.name)),
    "a link to nowhere": _instead(lambda file: file.symlink_to("nowhere.png")),
    "BMP": _as("BMP"),
    "TIFF": _as("TIFF"),
    "JPEG": _as("JPEG"),
    "1 x 1": _as("PNG", lambda i: i.resize((1, 1))),
    "half the size": _as("PNG", lambda i: i.resize((WIDTH // 2, HEIGHT // 2), 0)),
    "on its side": _as("PNG", lambda i: i.transpose(Image.Transpose.ROTATE_90)),
    "orientation, upright in PNG": _turned("PNG"),
    "orientation, upright in TIFF": _turned("TIFF"),
    "orientation, on its side": _turned("PNG", 5, 6, 7, 8, is_upright=False),
    "two frames of GIF": _frames("GIF"),
    "two frames of PNG": _frames("PNG"),
    "two pages of TIFF": _frames("TIFF"),
    "palette": _as("PNG", lambda i: i.convert("L").convert("P")),
    "one bit": _as("PNG", lambda i: i.convert("1")),
    "grey with alpha": _as("PNG", lambda i: i.convert("L").convert("LA")),
    "RGBA": _as("PNG", lambda i: i.convert("RGBA")),
    "CMYK": _as("TIFF", lambda i: i.convert("RGB").convert("CMYK")),
    "32 bits": _grey("TIFF", lambda v: v.astype(np.int32)),
    "floats": _grey("TIFF", lambda v: v.astype(np.float32)),
    "floats up to 1": _grey("TIFF", lambda v: v.astype(np.float32) / 255),
    "floats with NaN": _grey("TIFF", lambda v: np.where(v == 1, np.nan, v).astype(np.float32)),
    "16 bits": _grey("PNG", lambda v: v.astype(np.uint16) * 257),
}
IMAGES: dict[str, Rewrite] = {
    **FILES,
    "WebP": _as("WEBP", lossless=True),
    "orientation, upright in WebP": _turned("WEBP"),
    "grey": _as("PNG", lambda i: i.convert("L")),
    "16 bits in TIFF": _grey("TIFF", lambda v: v.astype(np.uint16) * 257),
    "12 bits": _grey("PNG", lambda v: v.astype(np.uint16) * 16),
    "16 bits in colour": _of_16_bits,
    "transparent": _as("PNG", lambda i: Image.merge("RGBA", (*i.split(), i.convert("L")))),
}
LABELS: dict[str, Rewrite] = {
    **FILES,
    "one more": _labels(lambda v: v + 1),
    "one less": _labels(lambda v: v - 1),
    "times 50": _labels(lambda v: v * 50),
    "all background": _labels(lambda v: v * 0),
    "without the class 2": _labels(lambda v: np.where(v == 2, 0, v)),
    "an unknown value": _labels(lambda v: np.where(v == 1, 77, v)),
    "0 and 255": _grey("PNG", lambda v: (v == 1) * np.uint8(255)),
    "another ignored value": _grey("PNG", lambda v: v - (v == IGNORED).astype(np.uint8)),
    "all ignored": _grey("PNG", lambda v: np.full_like(v, IGNORED)),
    "16 bits, the same ids": _grey("PNG", lambda v: v.astype(np.uint16)),
    "three equal channels": _as("PNG", lambda i: i.convert("RGB")),
    "colours": _grey("PNG", lambda v: np.stack([(v == i) * np.uint8(200) for i in (1, 9, 2)], -1)),
    "floats and a half": _grey("TIFF", lambda v: v.astype(np.float32) + 0.5),
}  # fmt: skip


def file_mutators(rewrites: dict[str, Rewrite], folder: str) -> list[Mutator]:
    """Return mutators that write one or all files of a folder anew."""

    def mutator(title: str) -> Mutator:
        def mutate(rng: Random, project: Path) -> str:
            files = sorted((project / folder).iterdir())
            chosen = rng.choice([files, [rng.choice(files)]])
            for file in chosen:
                with Image.open(io.BytesIO(file.read_bytes())) as image:
                    rewrites[title](rng, image, file)
            return f"{folder}: {title}, {len(chosen)} of {len(files)} files"

        return mutate

    return [mutator(title) for title in rewrites]


# ---- oracles: whether no checker could object


def are_plausible(folder: Path) -> bool:
    return all(_values(file, ("1", "L", "RGB")) is not None for file in folder.iterdir())


def are_plausible_labels(folder: Path, *, are_true: bool = True) -> bool:
    """Tell it of label maps: true ones have pixels of all classes, predicted ones none ignored."""
    values = [_values(file, ("1", "L", "P", "I;16", "RGB")) for file in folder.iterdir()]
    found, classes = set().union(*(v or {-1} for v in values)), set(range(NUM_LABELS))
    return found - {IGNORED} == classes if are_true else found <= classes


def _values(file: Path, modes: tuple[str, ...]) -> set[int] | None:
    """Return the values of a picture that is what it should be, else None."""
    with Image.open(file) as image:
        is_turned = image.getexif().get(ORIENTATION, 1) != 1
        is_label = "P" in modes
        is_lossy_id = is_label and image.format == "JPEG"
        # Pillow 10 has no mode of its own for 16 bits in a PNG file.
        mode = "I;16" if (image.mode, image.format) == ("I", "PNG") else image.mode
        is_one = mode in modes and getattr(image, "n_frames", 1) == 1
        if is_turned or is_lossy_id or not is_one or image.size != (WIDTH, HEIGHT):
            return None
        values = np.asarray(image)
        if is_label and image.mode == "RGB":
            colors = np.unique(values.reshape(-1, 3), axis=0).tolist()
            return {COLORS.index(c) if c in COLORS else -1 for c in colors}
        return set(np.unique(values).tolist())
