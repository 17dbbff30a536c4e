"""Fetch what the book's pages carry with them: fonts, MathJax, mermaid, and axe for the tests.

The pages ask no other host for anything, so these files lie in the repository. This
script says where each came from and brings it again: it installs the npm packages below
at exactly these versions into a temporary folder, without running their scripts, and
copies single files. Run it only to change a version: `python scripts/vendor.py`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FONTS = "book/_static/fonts"
VENDOR = "book/_static/vendor"
CHTML = "es5/output/chtml/fonts/woff-v2"

PACKAGES = {
    "@fontsource-variable/stix-two-text": "5.3.0",  # OFL-1.1
    "@fontsource-variable/ibm-plex-sans": "5.3.0",  # OFL-1.1
    "@ibm/plex-mono": "2.5.0",  # OFL-1.1; its Pi file has box drawing, ✓, ≤ and →, which fontsource's lacks
    "mathjax": "3.2.2",  # Apache-2.0; the CommonHTML output and its fonts only
    "@mermaid-js/tiny": "11.17.2",  # MIT; loaded only by pages with a diagram
    "axe-core": "4.14.1",  # MPL-2.0; used by the tests, no page carries it
}

# package, file in the package, place in the repository
FILES = [
    ("@fontsource-variable/stix-two-text", "files/stix-two-text-latin-wght-normal.woff2", f"{FONTS}/stix-roman.woff2"),
    ("@fontsource-variable/stix-two-text", "files/stix-two-text-latin-wght-italic.woff2", f"{FONTS}/stix-italic.woff2"),
    ("@fontsource-variable/stix-two-text", "files/stix-two-text-greek-wght-normal.woff2", f"{FONTS}/stix-greek.woff2"),
    ("@fontsource-variable/stix-two-text", "LICENSE", f"{FONTS}/LICENSE-stix-two-text.txt"),
    ("@fontsource-variable/ibm-plex-sans", "files/ibm-plex-sans-latin-wght-normal.woff2", f"{FONTS}/plex-sans.woff2"),
    ("@fontsource-variable/ibm-plex-sans", "LICENSE", f"{FONTS}/LICENSE-ibm-plex-sans.txt"),
    ("@ibm/plex-mono", "fonts/split/woff2/IBMPlexMono-Regular-Latin1.woff2", f"{FONTS}/plex-mono.woff2"),
    ("@ibm/plex-mono", "fonts/split/woff2/IBMPlexMono-SemiBold-Latin1.woff2", f"{FONTS}/plex-mono-600.woff2"),
    ("@ibm/plex-mono", "fonts/split/woff2/IBMPlexMono-Regular-Pi.woff2", f"{FONTS}/plex-mono-pi.woff2"),
    ("@ibm/plex-mono", "LICENSE.txt", f"{FONTS}/LICENSE-ibm-plex-mono.txt"),
    ("mathjax", "es5/tex-chtml.js", f"{VENDOR}/mathjax/tex-chtml.js"),
    ("mathjax", CHTML, f"{VENDOR}/mathjax/output/chtml/fonts/woff-v2"),
    ("mathjax", "LICENSE", f"{VENDOR}/mathjax/LICENSE"),
    ("@mermaid-js/tiny", "dist/mermaid.tiny.js", f"{VENDOR}/mermaid/mermaid.tiny.js"),
    ("@mermaid-js/tiny", "LICENSE", f"{VENDOR}/mermaid/LICENSE"),
    ("axe-core", "axe.min.js", "tests/book/vendor/axe.min.js"),
    ("axe-core", "LICENSE", "tests/book/vendor/LICENSE-axe-core.txt"),
]


def main() -> int:
    """Install the packages aside and copy the files; says what it wrote."""
    if not shutil.which("npm"):
        print("npm is needed to fetch the vendored files; install Node.js first", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as place:
        wanted = [f"{name}@{version}" for name, version in PACKAGES.items()]
        options = ["--prefix", place, "--ignore-scripts", "--no-audit", "--no-fund", "--no-save"]
        subprocess.run(["npm", "install", *options, *wanted], check=True)
        for package, source, target in FILES:
            path, goal = Path(place) / "node_modules" / package / source, ROOT / target
            goal.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, goal, dirs_exist_ok=True)
                size = sum(file.stat().st_size for file in goal.iterdir())
            else:
                shutil.copyfile(path, goal)
                size = goal.stat().st_size
            print(f"{size / 1000:8.1f} kB  {target}  ({package} {PACKAGES[package]})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
