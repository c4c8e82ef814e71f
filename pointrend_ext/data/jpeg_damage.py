"""JPEG files with a proper beginning and end, and damage between: decoders make grey of it.

Pillow passes over what libjpeg warns of. OpenCV lets libjpeg write it to the standard error of the
process; from there it is taken. Damage that leaves a valid stream of as many blocks has no trace:
JPEG has no check sums.
"""

import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import cv2
import numpy as np
from PIL.JpegImagePlugin import JpegImageFile
from tqdm import tqdm

from pointrend_ext.data.pillow_files import check_scans, opened, stored_size
from pointrend_ext.data.pixels import ImageRules
from pointrend_ext.data.reading import check_megapixels

logger = logging.getLogger(__name__)

_END = b"\xff\xd9"
_TOGETHER = 256  # files; where libjpeg has warned, they are looked at one by one
_SECONDS_WITHOUT_BAR = 2
_DAMAGE = re.compile(r"Corrupt JPEG data: .*|Inconsistent progression.*")


def find_damaged_jpegs(files: Sequence[str], rules: ImageRules) -> dict[str, str]:
    """Decode all local JPEG files; return what libjpeg says of those that are damaged, by file.

    Files that are refused anyway (``read_image``) are passed over. Meanwhile the process has no
    other standard error: for commands.
    """

    def decode(file: str) -> None:
        _decode(file, rules)

    if not _warned(_decode_bytes, _damaged_example()):  # a build of OpenCV without these warnings
        logger.warning("This OpenCV does not tell which JPEG files are damaged: not looked for.")
        return {}
    damaged: dict[str, str] = {}
    local = [file for file in files if "://" not in file]
    groups = [local[first : first + _TOGETHER] for first in range(0, len(local), _TOGETHER)]
    bar = tqdm(groups, "decoding JPEG files", leave=False, delay=_SECONDS_WITHOUT_BAR)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for group in bar:
            if _warned(lambda group: list(pool.map(decode, group)), group):
                warnings = {file: _warned(decode, file) for file in group}
                damaged |= {file: text for file, text in warnings.items() if text}
    return damaged


def _decode(file: str, rules: ImageRules) -> None:
    """Let libjpeg read all of a file, at an eighth of its size."""
    with suppress(ValueError, OSError), opened(file) as image:
        if not isinstance(image, JpegImageFile) or image.fp is None:
            return
        check_megapixels(stored_size(image), rules, file)
        check_scans(image, file)
        image.fp.seek(0)
        _decode_bytes(image.fp.read() + _END)  # OpenCV says nothing of a missing end


def _decode_bytes(data: bytes) -> None:
    with suppress(cv2.error):
        cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)


def _damaged_example() -> bytes:
    """A JPEG file without the second half of its blocks."""
    chequered = np.indices((64, 64)).sum(axis=0).astype(np.uint8) % 2 * 255
    data = cv2.imencode(".jpg", chequered)[1].tobytes()
    return data[: data.index(b"\xff\xda") + 40] + _END


def _warned(work: Callable[[Any], Any], subject: Any) -> str:
    """Do some work; return the first sign of damage that was written to standard error."""
    sys.stderr.flush()
    own = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            work(subject)
        finally:
            os.dup2(own, 2)
            os.close(own)
        said.seek(0)
        found = _DAMAGE.search(said.read().decode(errors="replace"))
    return found[0].strip() if found else ""
