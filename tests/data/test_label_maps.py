"""The reader of label maps: ids stay what they are, in every kind of file, or are refused."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile, TiffImagePlugin

from pointrend_ext.data import label_encoding
from pointrend_ext.data.label_encoding import (
    LabelEncoding,
    check_label_values,
    pack_colors,
)
from pointrend_ext.data.label_maps import decode_label_map, read_label_map

IDS = np.array([[0, 1, 2], [3, 1, 0]], dtype=np.uint8)
COLORS = ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0))
RGB = np.array(COLORS, np.uint8)[IDS]
COLORED = LabelEncoding((0, 1, 2, 3), 255, 255, COLORS, (224, 224, 192))


def grey_png(bits, ids):
    """A PNG of one channel with few bits, which Pillow cannot write."""
    lines = ["".join(f"{value:0{bits}b}" for value in row) for row in ids.tolist()]
    padded = [line.ljust(-(-len(line) // 8) * 8, "0") for line in lines]
    raw = b"".join(
        b"\0" + bytes(int(line[i : i + 8], 2) for i in range(0, len(line), 8)) for line in padded
    )
    header = struct.pack(">IIBBBBB", *ids.shape[::-1], bits, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def palette_image(ids, colors):
    image = Image.fromarray(ids).convert("L")
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette([channel for color in colors for channel in color])
    return image


@pytest.mark.parametrize(
    ("ending", "image"),
    [
        ("png", Image.fromarray(IDS)),
        ("bmp", Image.fromarray(IDS)),
        ("pgm", Image.fromarray(IDS)),
        ("tif", Image.fromarray(IDS)),
        ("png", Image.fromarray(IDS.astype(np.uint16))),
        ("tif", Image.fromarray(IDS.astype(np.int32))),
        ("tif", Image.fromarray(IDS.astype(np.float32))),
        ("png", palette_image(IDS, COLORS)),
        ("bmp", palette_image(IDS, COLORS)),
        ("png", Image.fromarray(np.stack([IDS] * 3, -1))),
        ("png", Image.fromarray(np.stack([IDS] * 3 + [np.full_like(IDS, 255)], -1))),
        ("png", Image.fromarray(np.stack([IDS, np.full_like(IDS, 255)], -1))),
    ],
)
def test_ids_stay_what_they_are(tmp_path, ending, image):
    path = str(tmp_path / f"x.{ending}")
    image.save(path)
    labels = read_label_map(path)
    np.testing.assert_array_equal(labels, IDS)
    assert labels.dtype == np.uint8


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_few_bits_are_not_spread_over_255(tmp_path, bits):
    ids = np.arange(2**bits, dtype=np.uint8).reshape(2, -1)[:, :40]
    (tmp_path / "x.png").write_bytes(grey_png(bits, ids))
    np.testing.assert_array_equal(read_label_map(str(tmp_path / "x.png")), ids)


@pytest.mark.parametrize("largest", [3, 15, 100, 255, 300, 65535])
def test_pgm_is_not_spread_over_255(tmp_path, largest):
    ids = np.array([[0, 1, 2, largest - 1, largest]])
    wide = ">u2" if largest > 255 else "u1"
    header = f"P5 5 1 {largest}\n".encode()
    (tmp_path / "x.pgm").write_bytes(header + ids.astype(wide).tobytes())
    np.testing.assert_array_equal(read_label_map(str(tmp_path / "x.pgm")), ids)


def test_16_and_32_bit_label_maps_keep_ids_above_255(tmp_path):
    for largest, is_small in ((65535, False), (255, True)):
        for dtype, ending in ((np.uint16, "png"), (np.int32, "tif"), (np.float32, "tif")):
            labels = np.array([[0, largest], [5, 3]], dtype=dtype)
            path = str(tmp_path / f"w.{ending}")
            Image.fromarray(labels).save(path)
            got = read_label_map(path)
            np.testing.assert_array_equal(got, labels)
            assert (got.dtype == np.uint8) == is_small


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_label_maps_are_turned_like_images(tmp_path, ending, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    path = str(tmp_path / f"x.{ending}")
    Image.fromarray(IDS).save(path, exif=exif)
    turned = {
        1: IDS, 2: IDS[:, ::-1], 3: IDS[::-1, ::-1], 4: IDS[::-1], 5: IDS.T,
        6: IDS[::-1].T, 7: IDS[::-1, ::-1].T, 8: IDS.T[::-1],
    }  # fmt: skip
    np.testing.assert_array_equal(read_label_map(path), turned[orientation])


def save_inverted(path):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[262] = 0
    Image.fromarray(IDS).save(path, tiffinfo=tags)


def save_pages(path):
    pages = [Image.fromarray(IDS), Image.fromarray(IDS)]
    pages[0].save(path, save_all=True, append_images=pages[1:])


def save(array, **options):
    return lambda path: Image.fromarray(array).save(path, **options)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (save(RGB), r"has 3 channels \(RGB\) that differ, .* state the colour of every class"),
        (save(IDS, format="JPEG"), "is a JPEG file whose compression changes the ids"),
        (save(RGB, compression="jpeg"), "is a TIFF file whose compression changes the ids"),
        (save(IDS, format="WEBP", lossless=True), "is a WEBP file"),
        (save_inverted, r"is an inverted TIFF \(0 is white\)"),
        (save_pages, "holds 2 pictures, but a label map is one"),
        (
            save(np.dstack([RGB, IDS + 252])),
            r"is transparent in 5 pixels, so that their class is not certain",
        ),
        (
            save((IDS / 255).astype(np.float32)),
            r"holds 4 numbers that are not whole, such as 0\.00392157\. They seem to be ids "
            r"divided by 255: 0\.00392157 x 255 = 1\. Save whole",
        ),
        (save((IDS / 7).astype(np.float32)), r"such as 0\.142857\. Save whole class ids"),
        (save(np.float32([[np.nan, 1]])), r"holds 1 numbers that are not whole, such as nan\."),
        (lambda path: open(path, "w").close(), r"no image \(0 bytes\)"),
        (save(np.zeros((2, 2, 4), np.uint8), format="TIFF"), "is transparent in 4 pixels"),
    ],
)
def test_what_is_no_label_map_is_refused(tmp_path, write, message):
    path = str(tmp_path / "x.tif")
    write(path)
    for encoding in (None, LabelEncoding.plain(4, 255)):
        with pytest.raises(ValueError, match=rf"Label map '.*x\.tif' .*{message}") as caught:
            read_label_map(path, encoding)
        assert "\n" not in str(caught.value)


def test_a_file_that_is_cut_off(tmp_path, monkeypatch):
    path = tmp_path / "x.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 9, (90, 90), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-900])
    for allowed in (False, True):  # by other code; given back as it was
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", allowed)
        with pytest.raises(ValueError, match=r"x\.png' is truncated or corrupt or no image \("):
            read_label_map(str(path))
        assert ImageFile.LOAD_TRUNCATED_IMAGES is allowed
    with pytest.raises(FileNotFoundError, match=r"y\.png"):
        read_label_map(str(tmp_path / "y.png"))


def test_unusual_files_are_noted(tmp_path):
    for name, image, note in (
        ("a.png", Image.fromarray(IDS), None),
        ("b.png", Image.fromarray(np.stack([IDS] * 3, -1)), "three equal channels"),
        ("c.png", Image.fromarray(IDS > 0), "one bit"),
        ("d.tif", Image.fromarray(IDS.astype(np.float32)), "floating-point"),
    ):
        image.save(tmp_path / name)
        found = decode_label_map(str(tmp_path / name)).note
        assert (found is None) if note is None else (note in found.text)


def test_values_are_translated(tmp_path):
    path = str(tmp_path / "x.png")
    encoding = LabelEncoding((0, 255, 7), None, 255)
    Image.fromarray(np.array([[0, 255, 7, 255]], np.uint8)).save(path)
    assert read_label_map(path, encoding).tolist() == [[0, 1, 2, 1]]
    ignoring_0 = LabelEncoding((1, 2, 300), 0, 255)
    Image.fromarray(np.array([[0, 1, 2, 300]], np.uint16)).save(path)
    assert read_label_map(path, ignoring_0).tolist() == [[255, 0, 1, 2]]
    message = r"contains the values 0 \(1 pixels\), .* \(1, 2, 300\) nor ignored \(none is\)"
    with pytest.raises(ValueError, match=message):
        read_label_map(path, LabelEncoding((1, 2, 300), None, 255))


def test_translation_agrees_with_a_loop():
    rng = np.random.default_rng(0)
    values = tuple(rng.permutation(600)[:300].tolist())
    encoding = LabelEncoding(values, ignore_value=700, ignore_label=65535)
    meant = {700: 65535, **{value: label for label, value in enumerate(values)}}
    for dtype in (np.uint8, np.uint16, np.int32):
        stored = rng.integers(0, 256 if dtype == np.uint8 else 800, (30, 40)).astype(dtype)
        expected = [[meant.get(v, -1) for v in row] for row in stored.tolist()]
        assert encoding.labels_of_values(stored).tolist() == expected


def test_an_ignored_value_that_is_a_class_is_ignored():
    plain = LabelEncoding.plain(3, 0)
    assert plain.labels_of_values(np.array([0, 1, 2, 3])).tolist() == [0, 1, 2, -1]
    assert LabelEncoding((0, 1, 2), 1, 255).labels_of_values(np.arange(3)).tolist() == [0, 255, 2]


def test_colors_are_translated(tmp_path):
    path = str(tmp_path / "x.png")
    for extra in ([], [np.full_like(IDS, 255)[..., None]]):
        Image.fromarray(np.concatenate([RGB, *extra], -1)).save(path)
        np.testing.assert_array_equal(read_label_map(path, COLORED), IDS)
    void = RGB.copy()
    void[0, 0] = (224, 224, 192)
    Image.fromarray(void).save(path)
    assert read_label_map(path, COLORED).tolist() == [[255, 1, 2], [3, 1, 0]]
    Image.fromarray(IDS).save(path)  # one channel holds ids all the same
    np.testing.assert_array_equal(read_label_map(path, COLORED), IDS)


def test_unknown_colors_are_named_with_the_nearest(tmp_path):
    path = str(tmp_path / "x.png")
    wrong = RGB.copy()
    wrong[0, :2] = (127, 2, 0)
    Image.fromarray(wrong).save(path)
    message = (
        r"x\.png' contains colours that are not among the 'colors' of the description: "
        r"\[127, 2, 0\] \(2 pixels; nearest is \[128, 0, 0\]\)\. Correct 'colors'; state 'ignore"
    )
    with pytest.raises(ValueError, match=message):
        read_label_map(path, COLORED)
    Image.fromarray(np.stack([IDS] * 3, -1)).save(path)
    with pytest.raises(ValueError, match="All are grey: ids in three channels"):
        read_label_map(path, COLORED)


def test_contradicting_colors_are_refused(tmp_path):
    path = str(tmp_path / "x.png")
    palette_image(IDS, COLORS[::-1]).save(path)
    np.testing.assert_array_equal(read_label_map(path), IDS)
    with pytest.raises(ValueError, match=r"the number 0 has the colour \[128, 128, 0\], which is"):
        read_label_map(path, COLORED)
    palette_image(IDS, COLORS).save(path)
    np.testing.assert_array_equal(read_label_map(path, COLORED), IDS)
    Image.fromarray(RGB).save(path)
    twice = LabelEncoding((0, 1, 2, 3), 255, 255, (*COLORS[:3], (0, 0, 0)))
    with pytest.raises(ValueError, match=r"\[0, 0, 0\] stands for two classes"):
        read_label_map(path, twice)


def test_packed_colors():
    colors = np.array([[[1, 2, 3], [255, 254, 253]]], np.uint8)
    packed = pack_colors(colors)
    assert packed.tolist() == [[66051, 16776957]]
    assert [label_encoding._as_color(code) for code in packed[0].tolist()] == [
        (1, 2, 3),
        (255, 254, 253),
    ]


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_label_values(dtype):
    good = np.array([[0, 18], [255, 3]], dtype=dtype)
    check_label_values(good, 19, 255, "good.png")
    bad = np.array([[0, 19], [254, 19]], dtype=dtype)
    message = r"^bad\.png contains the values 19, 254 \(3 pixels\), which .* \(0 to 18\) .* \(255\)"
    with pytest.raises(ValueError, match=message):
        check_label_values(bad, 19, 255, "bad.png")
