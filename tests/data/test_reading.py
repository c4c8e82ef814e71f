"""Images: bad files are named."""

import pytest
from PIL import Image, ImageFile

from pointrend_ext.data.reading import read_image, read_image_size
from tests.data.builders import write_image


@pytest.mark.parametrize(
    ("content", "message"),
    [
        *(
            (kept, r"is truncated or .*\(\d+ bytes\): .*image file is truncated")
            for kept in (0.5, 0.9, 0.999)
        ),
        (0.05, r"is truncated or .*\(\d+ bytes\)"),
        (b"", r"is .*no image \(0 bytes\)"),
        (b"just some text", r"is .*no image .*: cannot identify"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, ".* no image"),
    ],
)
def test_file_that_is_no_image(tmp_path, monkeypatch, content, message):
    path = tmp_path / "x.jpg"
    write_image(path)
    is_part = isinstance(content, float)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * content)] if is_part else content)
    for allowed in (False, True):  # by other code; given back as it was
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", allowed)
        with pytest.raises(ValueError, match=rf"x\.jpg' {message}"):
            read_image(str(path), "BGR")
        assert ImageFile.LOAD_TRUNCATED_IMAGES is allowed
    if not is_part:
        with pytest.raises(ValueError, match=rf"x\.jpg' {message}"):
            read_image_size(str(path))


@pytest.mark.parametrize("read", [read_image_size, lambda path: read_image(path, "BGR")])
def test_no_file(tmp_path, read):
    for name, error in (("gone.jpg", FileNotFoundError), ("", IsADirectoryError)):
        with pytest.raises(error, match=name or tmp_path.name):
            read(str(tmp_path / name))


@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
def test_size_is_that_of_the_image_as_it_is_read(tmp_path, ending, orientation):
    exif = Image.Exif()
    if orientation is not None:
        exif[274] = orientation
    path = str(tmp_path / f"x.{ending}")
    Image.new("RGB", (60, 40)).save(path, exif=exif)
    if ending != "tif":  # Detectron2 turns those twice, as Pillow has turned them already
        assert read_image_size(path) == ((60, 40) if (orientation or 1) >= 5 else (40, 60))
    assert read_image_size(path) == read_image(path, "RGB").shape[:2]


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_size_needs_the_header_alone(tmp_path, ending):
    path = tmp_path / f"x.{ending}"
    write_image(path)
    path.write_bytes(path.read_bytes()[:1000])
    assert read_image_size(str(path)) == (40, 60)


def test_channel_order(tmp_path):
    Image.new("RGB", (2, 2), (1, 2, 3)).save(tmp_path / "c.png")
    assert read_image(str(tmp_path / "c.png"), "RGB")[0, 0].tolist() == [1, 2, 3]
    assert read_image(str(tmp_path / "c.png"), "BGR")[0, 0].tolist() == [3, 2, 1]


def test_parents_of_linked_folders_are_those_of_the_system(tmp_path):
    """``link/..`` is the folder above the target, for the check and for the reader alike."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a" / "b")
    (tmp_path / "a" / "text.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"text\.png' is truncated .* \(8 bytes\)"):
        read_image(str(tmp_path / "link" / ".." / "text.png"), "RGB")
    with pytest.raises(FileNotFoundError, match=r"Image '.*x\.png' does not exist\. Copy it"):
        read_image(str(tmp_path / "x.png"), "RGB")


def test_a_folder_is_no_picture(tmp_path):
    with pytest.raises(IsADirectoryError, match=r"' is a folder\. Name a file\."):
        read_image(str(tmp_path), "RGB")
