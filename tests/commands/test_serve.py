"""The command that serves the page, as far as it needs no gradio."""

import os
import socket
import sys

import pytest

from pointrend_ext import cli
from pointrend_ext.serving.server import is_loopback, served
from pointrend_ext.serving.session import Session

MODEL = ["--config-file", "Toy/pointrend_rcnn_toy.yaml", "--weights", "gone.pth"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Pass either --config-file, with --weights, or --model"),
        ([*MODEL, "--model", "mine"], "Pass either"),
        ([*MODEL, "--timeout", "0"], "--timeout is 0: it must be a number above 0"),
        ([*MODEL, "--max-megapixels", "nan"], "--max-megapixels is nan"),
        (MODEL, "gone.pth"),
        (["--model", "mine", "--weights", "x.pth"], "--model brings its own weights"),
        (["--model", "mine", "--allow-missing"], "--model brings its own weights"),
    ],
)
def test_mistakes(words, said, capsys):
    assert cli.main(["serve", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.fixture
def session(predictors, monkeypatch):
    monkeypatch.setattr(os, "environ", {**os.environ, "GRADIO_SHARE": "True"})
    return Session(predictors("instance"))


def test_without_gradio(session, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ImportError, match=r"pip install 'pointrend-ext\[serve\]'"):
        served(session, "PointRend").__enter__()
    assert "GRADIO_SHARE" not in os.environ  # nothing but the command line decides
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"


def test_a_port_that_is_taken(session, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", object())
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f"--port {port} .*Choose a port"):
            served(session, "PointRend", port=port).__enter__()
    for port in (0, 99999):  # gradio would show the address :0, or end in a traceback
        with pytest.raises(ValueError, match=f"--port is {port}: ports are 1 to 65535"):
            served(session, "PointRend", port=port).__enter__()
    with pytest.raises(OSError, match=r"--host 203\.0\.113\.5 .*an address"):
        served(session, "PointRend", host="203.0.113.5").__enter__()


def test_loopback():
    inside = ("127.0.0.1", "127.8.9.10", "localhost", "::1", "[::1]")
    outside = ("0.0.0.0", "::", "192.168.0.2", "example.org", "localhost.example.org")
    assert all(map(is_loopback, inside))
    assert not any(map(is_loopback, outside))
