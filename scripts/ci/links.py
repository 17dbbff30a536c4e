"""Ask every address the built book links to whether it still answers: ``python scripts/ci/links.py [HTML]``.

Prints Markdown with the dead ones and nothing when there are none. A publisher that refuses
programs (401, 403, 405, 429) or a busy server (5xx, no answer) is counted, not called dead.
"""

from __future__ import annotations

import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
AGENT = {"User-Agent": "Mozilla/5.0 (link check of a book)"}
LINK = re.compile(r'<a\b[^>]*\bhref="(https?://[^"]+)"')
OWN = re.compile(r"https?://(127\.0\.0\.1|localhost|mybinder\.org|colab\.research\.google\.com)\b")
REFUSED = {401, 403, 405, 406, 418, 429, 999}


def gather(html: Path) -> dict[str, list[str]]:
    """Every outside address with the pages that link to it."""
    found: dict[str, list[str]] = {}
    for page in sorted(html.rglob("*.html")):
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            url = unescape(link).split("#")[0]
            if not OWN.match(url):
                found.setdefault(url, [])
                if page.name not in found[url]:
                    found[url].append(page.name)
    return found


def ask(url: str, timeout: float = 30) -> str:
    """``alive``, ``refused``, ``silent``, or the reason why it is dead."""
    reason = "silent"
    for method in ("HEAD", "GET"):
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=AGENT, method=method), timeout=timeout):
                return "alive"
        except urllib.error.HTTPError as err:
            if err.code in REFUSED:
                reason = "refused"
            elif err.code >= 500:
                reason = "silent"
            else:
                reason = f"{err.code} {err.reason}"
        except (urllib.error.URLError, OSError, ValueError) as err:
            text = str(getattr(err, "reason", err))
            reason = "no such host" if "not known" in text or "No address" in text else "silent"
    return reason


def check(urls: Iterable[str]) -> dict[str, str]:
    """The answer of every address, eight at a time."""
    urls = list(urls)
    with ThreadPoolExecutor(8) as pool:
        return dict(zip(urls, pool.map(ask, urls), strict=True))


def main() -> int:
    """Print the dead links; the counts go to standard error."""
    found = gather(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "_build/html")
    answers = check(found)
    kinds = ("alive", "refused", "silent")
    dead = {url: said for url, said in answers.items() if said not in kinds}
    counts = ", ".join(f"{sum(said == kind for said in answers.values())} {kind}" for kind in kinds)
    print(f"links: {len(answers)} addresses: {counts}, {len(dead)} dead", file=sys.stderr)
    for url, said in sorted(dead.items()):
        print(f"- <{url}>: {said}; linked from {', '.join(found[url][:5])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
