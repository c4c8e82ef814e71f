"""The Hub's own package against a server of this machine; skipped where it is missing."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pointrend_ext import Predictor
from pointrend_ext.inference.pretrained import find_folder

COMMIT = "a" * 40


@pytest.fixture
def hub(predictors, tmp_path, monkeypatch):
    """A server with one model, owner/name; returns what it was asked for."""
    constants = pytest.importorskip("huggingface_hub.constants")
    folder, asked = tmp_path / "served", []
    predictors("instance").save_pretrained(folder)
    (folder / "run_me.py").write_text("raise SystemExit")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.command, self.path))
            place = f"/owner/name/resolve/{COMMIT}/"
            if self.path.startswith("/api/models/owner/name/revision/main"):
                siblings = [{"rfilename": path.name} for path in folder.iterdir()]
                self.answer(json.dumps({"id": "owner/name", "sha": COMMIT, "siblings": siblings}))
            elif self.path.startswith(f"/api/models/owner/name/tree/{COMMIT}"):
                files = [(path.name, path.stat().st_size) for path in folder.iterdir()]
                entries = [
                    {"type": "file", "path": name, "size": size, "oid": "b" * 40}
                    for name, size in files
                ]
                self.answer(json.dumps(entries))
            elif self.path.startswith(place) and (folder / self.path[len(place) :]).is_file():
                self.answer((folder / self.path[len(place) :]).read_bytes())
            else:
                self.answer("{}", 404)

        do_HEAD = do_GET

        def answer(self, body, status=200):
            body = body.encode() if isinstance(body, str) else body
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = f"{endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    yield asked
    server.shutdown()
    server.server_close()


def test_a_model_is_downloaded_once_and_read_without_a_network(hub, predictors, monkeypatch):
    from huggingface_hub import constants

    read = Predictor.from_pretrained("owner/name", device="cpu")
    assert read.classes == predictors("instance").classes
    fetched = {path.rsplit("/", 1)[1] for command, path in hub if command == "GET"}
    assert {"config.yaml", "model.safetensors", "pointrend.json"} <= fetched
    assert "run_me.py" not in fetched
    hub.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert find_folder("owner/name").name == COMMIT
    assert hub == []
    with pytest.raises(FileNotFoundError, match="'owner/other', and a model of that name could"):
        find_folder("owner/other")


def test_what_the_hub_does_not_have(hub):
    with pytest.raises(
        FileNotFoundError, match="'owner/gone', and a model of that name could"
    ) as e:
        find_folder("owner/gone")
    assert "\n" not in str(e.value)
