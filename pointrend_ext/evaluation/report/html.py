"""Pieces of an HTML page as text: no script, no link to anything outside."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

__all__ = [
    "data_uri",
    "figure",
    "interval",
    "jpeg_uri",
    "model_color",
    "model_colors_rgb",
    "page",
    "section",
    "table",
]

_MODEL_COLORS = ("#2563eb", "#ea580c", "#16a34a", "#9333ea", "#0891b2", "#be123c")

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #18181b; background: #fff;
       max-width: 1180px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; }
h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid #e4e4e7; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
p.note { color: #52525b; margin: .3rem 0 .8rem; max-width: 75ch; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .18rem .8rem; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 2px solid #d4d4d8; }
tbody tr:nth-child(even) { background: #fafafa; }
td small { color: #71717a; }
td.better { color: #15803d; font-weight: 600; }
td.worse { color: #b91c1c; font-weight: 600; }
figure { margin: 1rem 0 1.6rem; }
figure img { max-width: 100%; height: auto; }
figcaption { color: #3f3f46; font-size: .9rem; }
.row { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
"""


def page(title: str, parts: Sequence[str]) -> str:
    """Return a whole page.

    Args:
        title: plain text.
        parts: HTML, one section each.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'  # else browsers ask a server for one
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def section(title: str, parts: Sequence[str], note: str = "") -> str:
    """Return a section with a heading, or nothing if it has no content.

    Args:
        title: plain text.
        parts: HTML.
        note: plain text below the heading.
    """
    if not parts:
        return ""
    below = f'<p class="note">{html.escape(note)}</p>\n' if note else ""
    return f"<section>\n<h2>{html.escape(title)}</h2>\n{below}" + "\n".join(parts) + "\n</section>"


def table(titles: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]], name: str) -> str:
    """Return a table.

    Args:
        titles: plain text, one per column.
        rows: plain text of the first column, and the HTML of the other cells, ``<td>`` included.
        name: its id.
    """
    head = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
    body = "\n".join(
        f"<tr><td>{html.escape(first)}</td>{''.join(cells)}</tr>" for first, cells in rows
    )
    return (
        f'<div class="scroll"><table id="{html.escape(name)}">\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def interval(found: Mapping[str, float | None] | None, *, is_difference: bool = False) -> str:
    """Return a table cell with a score and its interval.

    Args:
        found: ``value``, ``low`` and ``high``, as in ``evaluation.json``.
        is_difference: with a sign, and coloured when the interval excludes 0.
    """
    if not found or found["value"] is None:
        return "<td>-</td>"
    sign = "+" if is_difference else ""
    text, kind = f"{found['value']:{sign}.2f}", ""
    low, high = found["low"], found["high"]
    if low is not None and high is not None:
        text += f" <small>[{low:{sign}.2f}, {high:{sign}.2f}]</small>"
        if is_difference and (low > 0 or high < 0):
            kind = ' class="better"' if low > 0 else ' class="worse"'
    return f"<td{kind}>{text}</td>"


def figure(uri: str, caption: str, *, width_px: int | None = None) -> str:
    """Return an embedded picture.

    Args:
        uri: of the data.
        caption: plain text.
        width_px: of the picture on the page.
    """
    width = f' width="{width_px}"' if width_px else ""
    text = html.escape(caption)
    return f'<figure><img src="{uri}" alt="{text}"{width}><figcaption>{text}</figcaption></figure>'


def data_uri(data: bytes, kind: str) -> str:
    """Return data as a URI of a MIME type."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def jpeg_uri(image_rgb: np.ndarray, quality: int = 85) -> str:
    """Return a picture (H, W, 3) uint8 RGB as a URI."""
    bgr = np.ascontiguousarray(image_rgb[:, :, ::-1])
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data_uri(data.tobytes(), "image/jpeg")


def model_color(number: int) -> str:
    """Return the colour of a model in plots and pictures, as CSS and matplotlib know it."""
    return _MODEL_COLORS[number % len(_MODEL_COLORS)]


def model_colors_rgb(count: int) -> np.ndarray:
    """Return white, for the ground truth, and the colours of the models; (count + 1, 3) uint8."""
    hexadecimal = ["#ffffff", *(model_color(number) for number in range(count))]
    return np.array([list(bytes.fromhex(text[1:])) for text in hexadecimal], dtype=np.uint8)
