"""The page in a real browser, from disk, with every network name made unresolvable."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from joulemark.reports.html import write_report
from tests.conftest import MakeRun

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser() -> str:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    return CHROMIUM


def _open(browser: str, page: Path, profile: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--no-first-run",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--enable-logging=stderr",
            f"--user-data-dir={profile}",
            *arguments,
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )


def test_the_page_works_from_disk_without_a_network(browser: str, make_run: MakeRun, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    write_report([make_run(model="a"), make_run(model="b", energies_j=(31.0, 30.9, 31.1, 31.0, 31.2))], page)
    done = _open(browser, page, tmp_path / "profile", "--dump-dom")
    assert done.stdout.count("<svg") == 2
    assert "MODELLED" in done.stdout
    assert "CONSOLE" not in done.stderr, "no complaint of the browser about the page"


def test_no_text_of_the_ranking_is_cut_off(browser: str, make_run: MakeRun, tmp_path: Path) -> None:
    """The longest label must lie inside its picture: the page tells where it begins."""
    page = tmp_path / "report.html"
    write_report([make_run(model="a-model-with-a-rather-long-name", settings_={"max_new_tokens": 80})], page)
    script = (
        "<script>document.title = Math.min(...[...document.querySelectorAll('figure svg text')].map(t => "
        "t.getBoundingClientRect().left - t.ownerSVGElement.getBoundingClientRect().left))</script></body>"
    )
    page.write_text(page.read_text().replace("</body>", script))
    done = _open(browser, page, tmp_path / "profile", "--dump-dom")
    title = re.search(r"<title>(-?[\d.]+)</title>", done.stdout)
    assert title is not None
    assert float(title[1]) >= 0
