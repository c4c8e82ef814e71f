"""Small files that would take much memory or time, or run other software, end in a sentence."""

import io
import logging
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pointrend_ext.data.pixels import ImageRules
from pointrend_ext.data.reading import read_header, read_image, read_image_rgb

SIDE = 60000


def jpeg(side=16, **options):
    buffer = io.BytesIO()
    Image.new("L", (side, side)).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def large_jpeg(marker, **options):
    data = bytearray(jpeg(**options))
    place = data.index(marker) + 5
    data[place : place + 4] = struct.pack(">HH", SIDE, SIDE)
    return bytes(data)


def png(*chunks):
    header = (b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in (header, *chunks, (b"IDAT", zlib.compress(b"\0")), (b"IEND", b""))
    )


def gif(side, frames=1):
    screen = b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + bytes(6)
    return (
        screen + (b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\2\2\x44\1\0") * frames + b";"
    )


def tiff(side, pages=1, circle=False):
    tags = {256: side, 257: side, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: side, 279: side**2}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    size = 2 + len(entries) + 4
    after = [8 + size * page for page in range(1, pages)] + [8 if circle else 0]
    ends = (struct.pack("<I", place) for place in after)
    return b"II*\0\x08\0\0\0" + b"".join(b"\x09\0" + entries + end for end in ends)


def bmp(height):
    header = struct.pack("<IiiHHIIiiII", 40, SIDE, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 154, 0, 0, 54) + header + bytes(100)


BOMBS = {
    "a.jpg": large_jpeg(b"\xff\xc0"),
    "progressive.jpg": large_jpeg(b"\xff\xc2", progressive=True),
    "a.png": png(),
    "animated.png": png((b"acTL", struct.pack(">II", 2**31 - 1, 0))),
    "a.gif": gif(SIDE, frames=3),
    "a.tif": tiff(SIDE),
    "circle.tif": tiff(SIDE, pages=3, circle=True),
    "a.bmp": bmp(SIDE),
    "turned.bmp": bmp(-SIDE),
    "a.ppm": f"P6 {SIDE} {SIDE} 255\n".encode(),
}


@pytest.mark.parametrize("name", BOMBS)
def test_large_pictures_in_small_files_are_refused_undecoded(tmp_path, name):
    (tmp_path / name).write_bytes(BOMBS[name])
    assert len(BOMBS[name]) < 1000
    assert read_header(str(tmp_path / name)).size_hw == (SIDE, SIDE)
    for read in (read_image_rgb, lambda path: read_image(str(path), "BGR")):
        with pytest.raises(ValueError, match=rf"{name}' is large: {SIDE} x {SIDE} .*, 3600\.0 meg"):
            read(tmp_path / name)


def test_a_webp_file_of_one_colour(tmp_path):
    Image.new("RGB", (3000, 3000)).save(tmp_path / "a.webp", lossless=True, method=0)
    assert (tmp_path / "a.webp").stat().st_size < 2000
    with pytest.raises(ValueError, match=r"a\.webp' is large: 3000 x 3000 .*, 9\.0 megapixels"):
        read_image_rgb(tmp_path / "a.webp", ImageRules(max_megapixels=8))


def test_pages_without_end_are_counted_to_a_thousand(tmp_path, caplog):
    """Pillow takes minutes for 100,000: it looks for each among all before."""
    path = tmp_path / "a.tif"
    for pages, said in ((999, "holds 999 pictures"), (20_000, "holds 1000 or more pictures")):
        path.write_bytes(tiff(2, pages))
        with caplog.at_level(logging.WARNING):
            assert read_image_rgb(path).tolist() == tiff_pixels(path)
        assert said in caplog.text
    assert read_header(str(path)).num_pictures == 1000
    path.write_bytes(tiff(2, pages=3, circle=True))
    assert read_header(str(path)).num_pictures == 3


def tiff_pixels(path):
    grey = np.frombuffer(path.read_bytes()[8:12], np.uint8).reshape(2, 2)
    return np.stack([grey] * 3, axis=2).tolist()


@pytest.mark.parametrize("progressive", [True, False])
def test_a_jpeg_file_that_sends_its_picture_for_ever(tmp_path, progressive):
    data = jpeg(64, progressive=progressive)
    last = data[data.rindex(b"\xff\xda") : -2]
    path = tmp_path / "a.jpg"
    path.write_bytes(data[:-2] + last * 500 + data[-2:])
    with pytest.raises(ValueError, match=r"a\.jpg' is a JPEG file of 50\d scans, made"):
        read_image_rgb(path)
    # What phones append to a photograph, a film, may look like a scan here and there.
    path.write_bytes(data + b"\xff\xda" * 500 + b"\xff\xda\0\x0c\3" * 20)
    assert read_image_rgb(path).shape == (64, 64, 3)


def test_a_file_that_would_run_ghostscript(tmp_path, monkeypatch):
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n{}loop\n%%EOF\n"
    (tmp_path / "a.jpg").write_bytes(program)
    for read in (read_image_rgb, lambda path: read_header(str(path))):
        with pytest.raises(ValueError, match=r"a\.jpg' is a program that draws \(EPS\).* PNG\.$"):
            read(tmp_path / "a.jpg")
