"""Starts and ends the page's server, which listens where it was told to and nowhere else."""

import ipaddress
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pointrend_ext.serving.page import STYLE, build_page
from pointrend_ext.serving.routes import OnlyThePage
from pointrend_ext.serving.session import Session

LOOPBACK = "127.0.0.1"
_OWN_NAMES = frozenset({"localhost", LOOPBACK, "[::1]"})
# Of gradio.
_OFF = ["share", "ssr_mode", "pwa", "mcp_server", "run_history", "inbrowser", "enable_monitoring"]
_BYTES_PER_PIXEL = 4  # of a file, at most
_MOST_USERS = 16  # whose results are kept


@contextmanager
def served(
    session: Session,
    title: str,
    *,
    host: str = LOOPBACK,
    port: int | None = None,
    least_score: float = 0.0,
) -> Iterator[str]:
    """Serve a page, and yield its address.

    Args:
        session: what answers.
        title: of the page.
        host: the address or name of the interface to listen at.
        port: None for the first free one from 7860 on.
        least_score: see ``build_page``.

    Raises:
        ImportError: gradio is not installed.
        OSError: the port is taken, or this machine has no such address.
        ValueError: there is no such port.
    """
    with tempfile.TemporaryDirectory(prefix="pointrend_serve_") as folder:
        gr = _import_gradio(folder)
        _check_free(host, port)
        from starlette.middleware import Middleware

        page = build_page(gr, session, title, least_score)
        hosts = _OWN_NAMES | {host} if is_loopback(host) else None
        try:
            _, address, _ = page.launch(
                server_name=f"[{host}]" if ":" in host.strip("[]") and host[0] != "[" else host,
                server_port=port,
                app_kwargs={"middleware": [Middleware(OnlyThePage, hosts=hosts)]},
                max_file_size=int(session.limits.max_megapixels * 1e6 * _BYTES_PER_PIXEL),
                state_session_capacity=_MOST_USERS,
                theme=gr.themes.Default(font="system-ui", font_mono="monospace"),
                css=STYLE,
                footer_links=[],
                quiet=True,
                prevent_thread_lock=True,
                **dict.fromkeys(_OFF, False),
            )
            yield address
        finally:
            page.close(verbose=False)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine itself can reach an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:  # a name
        return host == "localhost"


def _import_gradio(folder: str) -> Any:
    """Import gradio, which the command line alone sets up; uploads lie in the folder."""
    for name in [name for name in os.environ if name.startswith("GRADIO_")]:
        del os.environ[name]
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": folder}
    os.environ["no_proxy"] = "*"  # gradio asks its own server whether it is there
    try:
        import gradio
    except ImportError as error:
        raise ImportError(
            f"The page needs gradio ({error}): pip install 'pointrend-ext[serve]'."
        ) from error
    return gradio


def _check_free(host: str, port: int | None) -> None:
    """Raise OSError, in words, where nobody can listen."""
    if port is not None and not 1 <= port <= 65535:
        raise ValueError(f"--port is {port}: ports are 1 to 65535.")
    try:
        address = socket.getaddrinfo(host.strip("[]"), port or 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(*address[:3]) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address[4])
    except OSError as error:
        raise OSError(
            f"Nothing can listen at --host {host} --port {port or 'any'} "
            f"({error.strerror or error}). Choose a port that no other program has, and an address "
            "of this machine."
        ) from error
