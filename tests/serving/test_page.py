"""The page in headless Chromium: a picture in, a result out, nothing asked of another machine."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio")
sync_api = pytest.importorskip("playwright.sync_api")
BROWSERS = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium; install one, or name it in CHROMIUM"),
]

ROOT = Path(__file__).parents[2]
PICTURES = os.environ.get("OUT")  # a folder for screenshots


@pytest.fixture(scope="module")
def folder(tmp_path_factory, predictors, make_picture):
    """A model as a folder, and a picture."""
    root = tmp_path_factory.mktemp("page")
    predictors("instance").save_pretrained(root / "model")
    Image.fromarray(make_picture(360, 510)).save(root / "scene.png")
    return root


@contextmanager
def serving(folder, *words):
    """Run the command; yield its address."""
    command = [sys.executable, "-W", "ignore", "-m", "pointrend_ext", "serve", "--port", "0"]
    command = [*command[:-2], "--model", str(folder / "model"), "--device", "cpu", *words]
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    env |= {"GRADIO_SERVER_NAME": "0.0.0.0", "GRADIO_ALLOWED_PATHS": "/", "GRADIO_SHARE": "True"}
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=folder, env=env, stdout=pipe, stderr=pipe, text=True)
    try:
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, process.stderr.read()
        yield found[0].rstrip("/")
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.strip().endswith("pointrend serve: interrupted")


@pytest.fixture(scope="module")
def address(folder):
    with serving(folder, "--confidence", "0", "--max-megapixels", "90") as found:
        yield found


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def page_of(browser, address, **options):
    """Open the page; all that it asks of others, and every complaint of the browser, is a fault."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
    page, faults = context.new_page(), []
    page.set_default_timeout(180_000)
    page.on("console", lambda x: x.type == "error" and faults.append(x.text))
    page.on("pageerror", lambda x: faults.append(str(x)))
    inside = (address, "data:", "blob:")
    page.on("request", lambda x: x.url.startswith(inside) or faults.append(x.url))
    page.goto(address)
    page.get_by_text("The result comes here.").wait_for()
    yield page
    context.close()
    assert faults == []


def upload(page, path, number=0):
    page.locator("input[type=file]").nth(number).set_input_files(str(path))


def title(page, text):
    page.locator(".pr-title").filter(has_text=re.compile(text)).wait_for()
    return page.locator(".pr-title").inner_text()


def shoot(page, name):
    if PICTURES:
        page.screenshot(path=f"{PICTURES}/{name}.png", full_page=True)


def canvas_pixels(page):
    height, width, *values = page.evaluate(
        """() => {
            const { height, width } = document.querySelector(".pr-canvas");
            const context = document.querySelector(".pr-canvas").getContext("2d");
            return [height, width, ...context.getImageData(0, 0, width, height).data];
        }"""
    )
    return np.reshape(values, (height, width, 4))[..., :3]


def test_a_picture_its_steps_and_boxes(browser, address, folder, predictors):
    expected = predictors("instance")(folder / "scene.png")
    with page_of(browser, address) as page:
        page.get_by_label("Lowest score").first.fill("0")
        upload(page, folder / "scene.png")
        assert title(page, "step 5").endswith(f"{len(expected.boxes)} objects")
        assert page.locator(".pr-labels li").count() == len(expected.boxes)
        best = f"{expected.class_names[0]}, score {expected.scores[0]:.2f}"
        assert page.locator(".pr-labels li").first.inner_text() == best
        shoot(page, "objects")
        canvas = page.locator(".pr-canvas")
        frame = canvas.bounding_box()
        sizes = np.asarray(expected.masks).sum((1, 2))
        y, x = np.argwhere(expected.masks[int(sizes.argmin())])[0]  # the smallest is on top
        height, width = expected.size_hw
        at = {"x": (x + 0.5) / width * frame["width"], "y": (y + 0.5) / height * frame["height"]}
        canvas.hover(position=at)
        name, score = expected.class_names[sizes.argmin()], expected.scores[sizes.argmin()]
        assert page.locator(".pr-tip").inner_text() == f"{name}, score {score:.2f}"
        shoot(page, "hover")
        final = canvas_pixels(page)
        page.get_by_label("Refinement step").first.fill("2")
        page.get_by_label("Refinement step").first.press("Enter")
        title(page, "^step 2: 28 x 28")
        page.get_by_label("Points that the step corrects").check()
        page.wait_for_timeout(2000)
        shoot(page, "points")
        assert (canvas_pixels(page) != final).any()
        for corner in ((0.2, 0.3), (0.6, 0.8)):
            side = frame["width"] * corner[0], frame["height"] * corner[1]
            canvas.click(position=dict(zip("xy", side, strict=True)))
        assert title(page, "^step 5.* 1 object")
        shoot(page, "box")
        page.get_by_role("button", name="Back to what").click()
        title(page, f"{len(expected.boxes)} objects")


def test_on_a_telephone(browser, address, folder):
    with page_of(browser, address, is_mobile=True, has_touch=True) as page:
        page.set_viewport_size({"width": 390, "height": 844})
        upload(page, folder / "scene.png")
        title(page, "step 5")
        shoot(page, "telephone")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_requests_that_end_with_a_sentence(browser, address, folder):
    Image.new("1", (12500, 8000)).save(folder / "wall.png")
    (folder / "notes.jpg").write_text("these are notes")
    (folder / "boxes.json").write_text(json.dumps([{"image_id": 1, "bbox": [1, 2]}]))
    with page_of(browser, address) as page:
        note = page.locator(".block.pr-note")
        for number, name, said in (
            (0, "wall.png", "100.0 megapixels, and this page takes 90 at most"),
            (0, "notes.jpg", "no image"),
            (1, "boxes.json", "There is no picture"),
        ):
            upload(page, folder / name, number)
            note.filter(has_text=said).wait_for()
            assert str(folder) not in note.inner_text()
            assert "/tmp" not in note.inner_text()
        shoot(page, "sentence")
        upload(page, folder / "scene.png")  # and the next is answered
        title(page, "step 5")
        assert not note.is_visible()


def test_two_users_see_their_own(browser, address, folder):
    whole = Image.open(folder / "scene.png")
    whole.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((200, 150)).save(folder / "other.png")
    with page_of(browser, address) as one, page_of(browser, address) as other:
        upload(one, folder / "scene.png")
        upload(other, folder / "other.png")
        title(one, "object")
        title(other, "object")
        assert canvas_pixels(one).shape[:2] == (706, 1000)
        assert canvas_pixels(other).shape[:2] == (750, 1000)


def ask(address, body=None):
    """Return the status and the text of an answer."""
    data, headers = (
        json.dumps(body).encode() if body else None,
        {"Content-Type": "application/json"},
    )
    try:
        answer = urllib.request.urlopen(urllib.request.Request(address, data, headers))
    except urllib.error.HTTPError as error:
        answer = error
    return answer.status, answer.read().decode()


def test_no_file_can_be_read(address, folder):
    (folder / "link.jpg").symlink_to("/etc/passwd")
    for path in (
        "/gradio_api/file=/etc/passwd",
        f"/gradio_api/file={folder}/link.jpg",
        f"/gradio_api/file={folder}/scene.png",
        "/gradio_api/file=..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/static/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/assets/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/gradio_api/proxy=http://127.0.0.1/",
    ):
        assert ask(address + path)[0] in (403, 404)
    calls = json.loads(ask(f"{address}/config")[1])["dependencies"]
    number = next(x["id"] for x in calls if x["targets"][0][1] == "upload")
    for path in ("/etc/passwd", f"{folder}/scene.png", f"{folder}/link.jpg"):
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        call = {"data": [file, 0.5, False], "fn_index": number, "session_hash": "s1"}
        assert ask(f"{address}/gradio_api/queue/join", call)[0] == 200
        _, said = ask(f"{address}/gradio_api/queue/data?session_hash=s1")
        assert '"success":false' in said.replace(" ", "")
        assert "root:" not in said
        assert "data:image" not in said
    file["path"] = "https://example.org/a.png"
    assert ask(f"{address}/gradio_api/queue/join", call)[0] == 403


def test_a_request_beyond_the_time_limit(browser, folder):
    with serving(folder, "--timeout", "0.001") as address, page_of(browser, address) as page:
        for _ in range(2):
            upload(page, folder / "scene.png")
            page.locator(".block.pr-note").filter(
                has_text="longer than the 0.001 seconds"
            ).wait_for()
            page.locator(".block.pr-note").wait_for()
