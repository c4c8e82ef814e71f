"""What is found in annotations, in the words of ``Findings``."""

from pointrend_ext.data.findings import Cause, Kind

CROWD = Cause(
    Kind.NOTED, "crowd regions, left out of training, neither right nor wrong in scores", True
)
UNKNOWN_IMAGE = Cause(Kind.LEFT_OUT, "annotations of an image that 'images' does not list")
IMAGE_ID_AS_TEXT = Cause(
    Kind.LEFT_OUT,
    "annotations of an image that 'images' does not list, though it lists the same number or text: "
    '1 is not "1", write both without quotes',
)
BAD_BOX = Cause(Kind.LEFT_OUT, "objects whose box has a NaN, infinite, zero or negative size")
BOX_OUTSIDE = Cause(Kind.LEFT_OUT, "objects whose box lies outside the image")
SHARES = Cause(
    Kind.LEFT_OUT,
    "objects whose box lies within the first pixel of the image: coordinates are shares of the "
    "image (0 to 1)? Multiply x by its width and y by its height",
)
NOWHERE = Cause(Kind.LEFT_OUT, "annotations with neither a box nor a mask")
BAD_POLYGON = Cause(
    Kind.LEFT_OUT, "polygons of fewer than 3 points or an odd number of coordinates"
)
NO_MASK = Cause(
    Kind.NOTED,
    "objects without a mask, or with an empty one: they count for boxes, not for masks",
    True,
)
BEYOND = Cause(
    Kind.CHANGED,
    "objects that reach more than a pixel beyond the image, clipped in training",
    True,
)
UNLIKE_MASK = Cause(
    Kind.NOTED, "objects whose box is not that of their mask (2 pixels and 10 % of its side)", True
)
TWICE = Cause(
    Kind.NOTED,
    "objects listed twice, with image, class, box and mask of an earlier one: one of them cannot "
    "be found, which lowers AP; take it out",
)
FLAT = Cause(Kind.CHANGED, "masks that are one flat list of numbers, read as one polygon")
POINTS = Cause(Kind.CHANGED, "masks that are lists of points [x, y], read as polygons")
NESTED = Cause(Kind.CHANGED, "masks with a pair of brackets too many, read as polygons")
HOLE = Cause(
    Kind.NOTED,
    "masks with a polygon inside another one: it is filled, too; holes need run lengths",
    True,
)
BOX_FROM_MASK = Cause(Kind.CHANGED, "objects without a box, which get that of their mask")
CROWD_FLAG = Cause(
    Kind.CHANGED, "values of 'iscrowd' such as null, true, 1.0 or a text, read as 0 or 1", True
)
NO_AREA = Cause(
    Kind.CHANGED, "objects without an area above 0: it is computed from the mask, or the box", True
)
ODD_AREA = Cause(
    Kind.NOTED,
    "objects whose 'area' does not fit their box: it decides what counts as small, medium or large",
    True,
)
NO_ID = Cause(Kind.CHANGED, "annotations without id: they are named by their place in the file")
SIZE_AS_FLOAT = Cause(
    Kind.CHANGED, "images whose size is written as 160.0, read as 160", True, "images"
)
REPEATED_FILE = Cause(Kind.NOTED, "images whose 'file_name' another image has, too", of="images")
NAME_AS_NUMBER = Cause(
    Kind.CHANGED, "category names that are numbers, read as text", True, "categories"
)
REPEATED_NAME = Cause(
    Kind.CHANGED,
    "categories of the same name, told apart by their id as 'name (id)'; one class? Then give its "
    "annotations one category_id",
    of="categories",
)
POINTS_OF_PIXELS = Cause(
    Kind.CHANGED,
    "objects whose points are all whole numbers, read as indices of pixels: their centres, 0.5 "
    "further, are taken",
    True,
)
POINT_OUTSIDE = Cause(
    Kind.CHANGED, "objects with points outside the image, which nothing is learnt from"
)
POINT_OUTSIDE_BOX = Cause(
    Kind.NOTED,
    "objects with points more than a pixel outside their box: little is learnt from these",
    True,
)
NO_POINT = Cause(Kind.NOTED, "objects whose list of points has none with a label of 0 or 1", True)
OUT_OF_CROP = Cause(Kind.LEFT_OUT, "objects outside the crop window", True)
EMPTY_MASK = Cause(Kind.LEFT_OUT, "objects whose mask has no pixel at the training size")
PASTED_OVER = Cause(Kind.LEFT_OUT, "objects that pasted ones cover as a whole", True)

OF_MASKS = frozenset({NO_MASK, BAD_POLYGON, FLAT, POINTS, NESTED, HOLE})
"""Of no interest to a training on boxes."""
OF_POINTS = frozenset({POINTS_OF_PIXELS, POINT_OUTSIDE, POINT_OUTSIDE_BOX, NO_POINT})
"""Of no interest but to a training on points."""
OF_SCORES = frozenset({NO_AREA, ODD_AREA})
"""Of no interest to a training."""
IN_MAPPER = (
    CROWD, BAD_BOX, BOX_OUTSIDE, SHARES, NOWHERE, BAD_POLYGON, NO_MASK, BEYOND, FLAT, POINTS,
    NESTED, BOX_FROM_MASK, CROWD_FLAG, OUT_OF_CROP, EMPTY_MASK, PASTED_OVER,
    POINTS_OF_PIXELS, POINT_OUTSIDE, POINT_OUTSIDE_BOX, NO_POINT,
)  # fmt: skip
"""What the mapper counts."""
