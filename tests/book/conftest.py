"""The built book, a server for it on 127.0.0.1, and a browser that can reach nothing else."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bookbuild import ROOT, built

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


@pytest.fixture(scope="session")
def html() -> Path:
    """The folder of the built book, brought up to date."""
    done = built(ROOT, ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    return ROOT / "_build/html"


@pytest.fixture(scope="session")
def base(html: Path) -> Iterator[str]:
    """Address of a server for the built book."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(html)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium: Debian's, the one named in ``CHROMIUM``, or playwright's own."""
    api = pytest.importorskip("playwright.sync_api", reason="browser tests need the Python package playwright")
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with api.sync_playwright() as playwright:
        try:
            chromium = playwright.chromium.launch(executable_path=found, args=FLAGS)
        except api.Error as err:
            pytest.skip(f"browser tests need Chromium (apt install chromium, or set CHROMIUM): {str(err)[:200]}")
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Any, base: str) -> Iterator[Callable[..., Any]]:
    """``visit("book/index.html", width=390, dark=True)`` opens a page; at the end nothing may have gone wrong."""
    contexts, wrong = [], []

    def open_page(path: str, width: int = 1440, height: int = 900, dark: bool = False) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        contexts.append(context)

        def gate(route: Any) -> None:
            if route.request.url.startswith(base):
                route.continue_()
            else:
                wrong.append(f"{path} asked for {route.request.url}")
                route.abort()

        def failed(request: Any) -> None:
            left = request.failure == "net::ERR_ABORTED"  # the reader went on before a font had come
            if request.url.startswith(base) and not left:
                wrong.append(f"{path}: failed {request.url}")

        context.route("**/*", gate)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda m: wrong.append(f"{path}: {m.type} {m.text}") if m.type == "error" else None)
        page.on("pageerror", lambda err: wrong.append(f"{path}: {err}"))
        page.on("requestfailed", failed)
        page.on("response", lambda r: wrong.append(f"{path}: {r.status} {r.url}") if r.status >= 400 else None)
        page.goto(base + path, wait_until="load")
        page.evaluate("document.fonts.ready")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong, "\n".join(wrong)
