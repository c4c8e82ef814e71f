"""Image files as Pillow opens them: upright, never half decoded, with errors that name the file."""

import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO

from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

logger = logging.getLogger(__name__)

_ORIENTATION = 274  # EXIF tag
_STORED_WIDTH, _STORED_HEIGHT = 256, 257  # TIFF tags
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PROGRAMS = ("EPS", "WMF")  # which Pillow would hand to other software to be run
_SCAN = re.compile(rb"\xff\xda\x00(\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)")  # its beginning
_MOST_SCANS = 100  # encoders write about ten, and each goes over the whole picture
MOST_PAGES = 1000  # counted: each page of a TIFF is looked for among all that came before
_EXIF_IN_PNG = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")
_LARGEST_EXIF = 2**16


class RefusedImage(ValueError):
    """The file is whole, but is not read; the message names it."""


@contextmanager
def opened(
    file_name: str, what: str = "Image", open_file: Callable[[str], IO[bytes]] | None = None
) -> Iterator[Image.Image]:
    """Open an image file; Pillow's errors, also those of decoding it, name it afterwards.

    Args:
        file_name: its path.
        what: what messages call it.
        open_file: opens it for reading; by default as a local file.
    """
    try:
        with _settings, (open_file or _open_local)(file_name) as file, Image.open(file) as image:
            if image.format in _PROGRAMS:
                raise RefusedImage(
                    f"{what} {file_name!r} is a program that draws ({image.format}), not a "
                    "picture. Convert it to PNG."
                )
            yield image
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{what} {file_name!r} does not exist. Copy it to its place, or correct "
            "its name or folder."
        ) from None
    except IsADirectoryError:
        raise IsADirectoryError(f"{what} {file_name!r} is a folder. Name a file.") from None
    except (RefusedImage, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise many types on broken files
        if getattr(error, "errno", None) is not None:
            raise  # those of the file system name the file already
        size = f"{os.path.getsize(file_name)} bytes" if os.path.exists(file_name) else "remote"
        raise ValueError(
            f"{what} {file_name!r} is truncated or corrupt or no image ({size}): {error}. Copy or "
            "download it again, or take it out."
        ) from error


def check_scans(image: Image.Image, name: str) -> None:
    """Raise RefusedImage for a JPEG file whose picture is sent so often that it takes minutes."""
    if not isinstance(image, JpegImageFile) or image.fp is None:
        return
    image.fp.seek(0)  # decoding goes to its own place
    scans = len(_SCAN.findall(image.fp.read()))
    if scans > _MOST_SCANS:
        raise RefusedImage(
            f"{name} is a JPEG file of {scans} scans, made to take long; {_MOST_SCANS} are read. "
            "Take it out."
        )


def _open_local(file_name: str) -> IO[bytes]:
    return open(file_name, "rb")


def upright(image: Image.Image) -> Image.Image:
    """Decode a picture, and turn it as its EXIF orientation says."""
    if isinstance(image, TiffImageFile):
        # Pillow turns these, and only these, while it decodes them. Of a file with a name it maps
        # some into memory, and then those that lie on their side come out scrambled (11.0 to 13.0).
        name, image.filename = image.filename, ""
        image.load()
        image.filename = name
        return image
    image.load()
    turn = _TURNS.get(exif_orientation(image))
    return image if turn is None else image.transpose(turn)


def stored_size(image: Image.Image) -> tuple[int, int]:
    """Return (height, width) in the file; newer Pillows state a TIFF's turned size at once."""
    tags = getattr(image, "tag_v2", {})
    width, height = image.size
    return tags.get(_STORED_HEIGHT, height), tags.get(_STORED_WIDTH, width)


def exif_orientation(image: Image.Image, *, decode: bool = True) -> int:
    """Return the EXIF orientation; without decoding the picture only what comes before it."""
    try:
        exif = image.getexif() if decode else Image.Image.getexif(image)  # the first: PNG's own
        orientation = exif.get(_ORIENTATION)
    except Exception as error:  # damaged EXIF data; Pillow raises many types
        logger.debug("%s: its EXIF data cannot be read: %s", image, error)
        return 1
    return orientation if orientation in _TURNS else 1


def has_late_exif(image: Image.Image) -> bool:
    """Tell whether a PNG file seems to hold EXIF data behind the pixels, as some tools write it."""
    if not isinstance(image, PngImageFile) or image.fp is None:
        return False
    place = image.fp.tell()
    image.fp.seek(max(0, image.fp.seek(0, os.SEEK_END) - _LARGEST_EXIF))
    end = image.fp.read()
    image.fp.seek(place)
    return any(mark in end for mark in _EXIF_IN_PNG)


def number_of_pictures(image: Image.Image) -> int:
    """Count the pictures of an animation, or of a file with several pages up to ``MOST_PAGES``."""
    if image.format == "MPO" or not getattr(image, "is_animated", False):  # views of a camera
        return 1
    if not isinstance(image, TiffImageFile):
        return getattr(image, "n_frames", 1)
    number = 1
    with suppress(EOFError):
        for number in range(1, MOST_PAGES):
            image.seek(number)
        number = MOST_PAGES
    image.seek(0)
    return number


class _PillowSettings:
    """While a file is read: our limit of size instead of Pillow's, and never half a picture.

    Pillow's settings belong to the process. The first thread that reads changes them, and the last
    one puts back what other code had set.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._num_readers = 0
        self._before: tuple[int | None, bool] = (None, False)

    def __enter__(self) -> None:
        with self._lock:
            if self._num_readers == 0:
                self._before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
                Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = None, False
            self._num_readers += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._num_readers -= 1
            if self._num_readers == 0:
                Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = self._before


_settings = _PillowSettings()
