"""The page, on gradio: it hands on what a user does to a ``Session``, and shows a ``View``."""

import html
from collections.abc import Callable
from importlib import resources
from types import SimpleNamespace
from typing import Any

from pointrend_ext.serving.session import Seen, Session
from pointrend_ext.serving.view import view_of

STYLE = """
.block.pr-note {padding: 8px 12px; border-left: 4px solid #d33; overflow-wrap: anywhere}
@media (max-width: 640px) {.pr-result {order: -1}}
"""
CHOOSES = "the model chooses"
_KEPT_S = 3600  # of a result that nobody touches
_UPLOADS_S = 600  # of an upload, which two users share if they pass the same file
_MOST_WAITING = 16  # requests of all users


def build_page(gr: Any, session: Session, title: str, least_score: float) -> Any:
    """Return the ``gradio.Blocks`` of a session.

    Args:
        gr: the module ``gradio``.
        session: what answers.
        title: of the page.
        least_score: of what the model finds, with which its predictor was built.
    """
    page = gr.Blocks(title=title, analytics_enabled=False, delete_cache=(_UPLOADS_S, _UPLOADS_S))
    with page:
        gr.HTML(f"<h1>{html.escape(title)}</h1>")
        parts = _lay_out(gr, session, least_score)
        _connect(gr, parts, _Answers(gr, session, parts))
    return page.queue(max_size=_MOST_WAITING, api_open=False)


def _lay_out(gr: Any, session: Session, least_score: float) -> SimpleNamespace:
    """Make the components, in the columns of the page that is being made."""
    has_instances, names = session.predictor.has_instances, session.class_names
    parts = SimpleNamespace(seen=gr.State(None, time_to_live=_KEPT_S))
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            parts.picture = gr.File(label="Picture", height=130)
            parts.note = gr.HTML(visible=False, elem_classes="pr-note")
            parts.step = gr.Slider(
                0, 1, 1, step=1, label="Refinement step, 0 is coarse", visible=False
            )
            parts.points = gr.Checkbox(False, label="Points that the step corrects", visible=False)
            parts.score = gr.Slider(
                least_score,
                1,
                max(least_score, 0.5),
                step=0.01,
                label="Lowest score",
                visible=has_instances,
            )
            with gr.Accordion("Masks for boxes", visible=has_instances):
                gr.HTML("Click two opposite corners of an object in the result, or pass boxes.")
                parts.kind = gr.Dropdown(
                    [CHOOSES, *names],
                    value=CHOOSES,
                    label="Class of the drawn boxes",
                    visible=len(names) > 1,
                )
                parts.boxes = gr.UploadButton("COCO results with boxes (JSON)", size="sm")
                parts.find = gr.Button("Back to what the model finds", size="sm")
        with gr.Column(scale=3, min_width=300, elem_classes="pr-result"):
            parts.view = gr.HTML(
                html_template=_text("picture.html"),
                css_template=_text("picture.css"),
                js_on_load=_text("picture.js"),
                draws=has_instances,
            )
    return parts


class _Answers:
    """What changes on the page after something was done; without a result a sentence."""

    def __init__(self, gr: Any, session: Session, parts: SimpleNamespace) -> None:
        self.gr, self.session, self.parts = gr, session, parts

    def opened(self, path: str | None, score: float, points: bool) -> dict[Any, Any]:
        changes = self._answer(lambda: self.session.open(path or ""), score, points)
        return {**changes, self.parts.picture: None}

    def boxes_read(
        self, path: str | None, seen: Seen | None, score: float, points: bool
    ) -> dict[Any, Any]:
        work = lambda: self.session.with_boxes_of(_there(seen), path or "")  # noqa: E731
        return {**self._answer(work, score, points), self.parts.boxes: None}

    def drawn(
        self, corners: Any, seen: Seen | None, kind: str, score: float, points: bool
    ) -> dict[Any, Any]:
        name = None if kind == CHOOSES else kind
        work = lambda: self.session.with_box(_there(seen), corners, name)  # noqa: E731
        return self._answer(work, score, points)

    def found(self, seen: Seen | None, score: float, points: bool) -> dict[Any, Any]:
        return self._answer(lambda: self.session.find(_there(seen)), score, points)

    def redrawn(self, seen: Seen | None, step: float, score: float, points: bool) -> Any:
        if seen is None:
            return self.gr.skip()
        return view_of(seen, int(step), min_score=score, points=points).to_browser()

    def _answer(self, work: Callable[[], Seen], score: float, points: bool) -> dict[Any, Any]:
        update, parts = self.gr.update, self.parts
        try:
            seen = work()
        except ValueError as error:
            return {parts.note: update(value=html.escape(str(error)), visible=True)}
        last = len(seen.stages) - 1
        return {
            parts.seen: seen,
            parts.view: view_of(seen, last, min_score=score, points=points).to_browser(),
            parts.step: update(value=last, maximum=max(last, 1), visible=last > 0),
            parts.points: update(visible=last > 0),
            parts.note: update(visible=False),
        }


def _connect(gr: Any, parts: SimpleNamespace, answers: _Answers) -> None:
    """Say what answers to what; one request at a time is with the model."""
    own = {"concurrency_id": "model", "concurrency_limit": 1, "api_visibility": "private"}
    how = [parts.score, parts.points]
    changed = [parts.seen, parts.view, parts.step, parts.points, parts.note]

    def drawn(
        event: gr.EventData, seen: Seen | None, kind: str, score: float, points: bool
    ) -> dict[Any, Any]:
        return answers.drawn(event.corners, seen, kind, score, points)

    picture, boxes = parts.picture, parts.boxes
    picture.upload(answers.opened, [picture, *how], [*changed, picture], **own)
    boxes.upload(answers.boxes_read, [boxes, parts.seen, *how], [*changed, boxes], **own)
    parts.view.drawn(drawn, [parts.seen, parts.kind, *how], changed, **own)
    parts.find.click(answers.found, [parts.seen, *how], changed, **own)
    gr.on(
        [parts.step.input, parts.score.input, parts.points.input],
        answers.redrawn,
        [parts.seen, parts.step, *how],
        parts.view,
        trigger_mode="always_last",
        concurrency_limit=4,
        show_progress="hidden",
        api_visibility="private",
    )


def _there(seen: Seen | None) -> Seen:
    if seen is None:
        raise ValueError("There is no picture, or it was forgotten after an hour: pass it again.")
    return seen


def _text(name: str) -> str:
    return (resources.files(__package__) / "templates" / name).read_text(encoding="utf-8")
