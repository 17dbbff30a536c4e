"""Name the repository's address at its one place, ``_config.yml``: ``make repo URL=https://github.com/OWNER/NAME``.

Everything else reads it there: the buttons for Colab, Binder and editing on every page,
and the cell that installs ``helpers`` on Colab. ``URL=none`` takes it out again.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHAPE = re.compile(r"https://(github\.com|gitlab\.com|codeberg\.org)/[\w.-]+(/[\w.-]+)+")
BINDER = "https://mybinder.org"


def clean(url: str) -> str:
    """The address a browser opens, from whatever ``git remote`` shows; empty for ``none``.

    Raises:
        SystemExit: it is the address of no repository.
    """
    if url == "none":
        return ""
    url = re.sub(r"^(?:ssh://)?git@([^:/]+)[:/]", r"https://\1/", url.strip())
    url = re.sub(r"^http:", "https:", url).rstrip("/").removesuffix(".git")
    if not SHAPE.fullmatch(url):
        sys.exit(f"repo: {url!r} is no repository's address; expected https://github.com/OWNER/NAME, or none")
    return url


def stamp(path: Path, url: str) -> None:
    """Write the address into the settings, without touching another line."""
    text = path.read_text(encoding="utf-8")
    binder = BINDER if "github.com" in url else ""
    for name, value in (("url", url), ("binderhub_url", binder)):
        text, times = re.subn(rf"^(  {name}: ).*$", lambda match: f'{match[1]}"{value}"', text, flags=re.M)  # noqa: B023
        if times != 1:
            sys.exit(f"repo: {path} must hold one line '  {name}:', it holds {times}")
    path.write_text(text, encoding="utf-8")


def main() -> int:
    """Stamp the address and say what it turns on."""
    if len(sys.argv) != 2 or not sys.argv[1]:
        sys.exit("repo: say the address: make repo URL=https://github.com/OWNER/NAME")
    url = clean(sys.argv[1])
    stamp(ROOT / "_config.yml", url)
    if not url:
        print("repo: no address; pages offer JupyterLab and the download only")
    elif "github.com" in url:
        print(f"repo: {url}. Commit _config.yml and push; the workflow 'publish' then makes the branch 'colab' too.")
    else:
        print(f"repo: {url}. Edit links are on; Colab and Binder need a repository on GitHub.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
