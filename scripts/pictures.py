"""Take the README's screenshot and the social card from the built book: ``python scripts/pictures.py [DAY]``.

Needs Chromium and the built book (`make book`). Both pictures are committed, so run this
after the look has changed, and look at them.
"""

from __future__ import annotations

import functools
import http.server
import io
import os
import shutil
import sys
import threading
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "book/_static/img"
TO_A_FIGURE_WITH_ITS_CLAIM = """() => {
    const next = (cell) => cell.nextElementSibling?.classList.contains("tag_claim");
    const cells = [...document.querySelectorAll(".tag_figure")].filter(next);
    window.scrollTo({top: cells[0].getBoundingClientRect().top + scrollY - 330, behavior: "instant"});
}"""
# the card shows a reader half-way, and no number that ages
COLOURS = """document.querySelectorAll(".day").forEach((day, i) => {
    day.classList.remove("none", "today");
    day.classList.add(i < 53 ? "done" : i === 53 ? "today" : "unread");
})"""


def save(picture: Image.Image, name: str) -> None:
    """Store a picture and say its size."""
    picture.save(IMAGES / name, optimize=True)
    print(f"{(IMAGES / name).stat().st_size / 1000:.0f} kB  {IMAGES / name}")


def shot(page: Page, **clip: float) -> Image.Image:
    """What the page shows, or a part of it."""
    return Image.open(io.BytesIO(page.screenshot(**({"clip": clip} if clip else {})))).convert("RGB")


def main() -> None:
    """One lesson from its title down, and the cover without numbers that age."""
    day = int(sys.argv[1]) if len(sys.argv) > 1 else 33
    html = ROOT / "_build/html"
    lesson = next(html.glob(f"notebooks/*/day{day:02d}_*.html")).relative_to(html)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(html))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    with sync_playwright() as playwright:
        found = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1440, "height": 1060})
        page.goto(f"{base}/{lesson.as_posix()}")
        page.wait_for_timeout(1000)
        top = shot(page, x=0, y=0, width=1100, height=1060)
        page.evaluate(TO_A_FIGURE_WITH_ITS_CLAIM)
        page.wait_for_timeout(800)
        both = Image.new("RGB", (1920, 1060), "#868E8C")
        both.paste(top, (0, 0))
        both.paste(shot(page, x=290, y=0, width=810, height=1060), (1110, 0))
        save(both, "screenshot.png")
        page = browser.new_page(viewport={"width": 1200, "height": 630})
        page.goto(f"{base}/book/index.html")
        page.add_style_tag(content=".night, .topbar, #count, .io, .doors, .n {display: none !important}")
        page.evaluate(COLOURS)
        page.wait_for_timeout(500)
        save(shot(page), "card.png")
        browser.close()
    server.shutdown()


if __name__ == "__main__":
    main()
