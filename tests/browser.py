"""A page in a real browser without a window."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

needed = pytest.mark.skipif(shutil.which("chromium") is None, reason="no browser to open the page in")


def asked(page: str, script: str, folder: Path) -> str:
    """What a script that runs at the end of a page returns; nothing may be said on the console.

    The window is 500 pixels wide, as narrow as it can be made.
    """
    file = folder / "page.html"
    probe = f"<script>document.title = String((() => {{ {script} }})())</script></body>"
    head, _, tail = page.rpartition("</body>")
    file.write_text(f"{head}{probe}{tail}", "utf-8")
    done = subprocess.run(
        [
            "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={folder / 'profile'}", "--window-size=500,900", "--enable-logging=stderr",
            "--dump-dom", file.as_uri(),
        ],
        text=True, capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title, done.stderr[-500:]
    return title[1]
