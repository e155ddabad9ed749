"""What the README and the docs say is true."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from joulemark import errors
from joulemark.bench import suite_names
from joulemark.cli import VERBS
from tests.e2e.conftest import environment

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


METER = (ROOT / "docs" / "meter.md").read_text()


def _blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("text", [README, METER], ids=["README", "docs/meter.md"])
def test_the_python_of_the_docs_runs(text: str, tmp_path: Path) -> None:
    program = "\n".join(_blocks("python", text))
    assert program

    done = subprocess.run(
        [sys.executable, "-c", "def train(): sum(range(10**6))\n" + program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert re.search(r"[\d.]+ [mk]?J \([\d.,]+ to [\d.,]+\) in ", done.stdout), "value, interval and duration"
    assert "share of variance" in done.stdout, "the budget"


def test_the_make_targets_of_the_readme_exist() -> None:
    targets = re.findall(r"^make (\w+)", "\n".join(_blocks("sh")), re.MULTILINE)
    assert {"quickstart", "test"} <= set(targets)
    for target in targets:
        subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, check=True)


def test_the_commands_of_the_readme_are_understood(tmp_path: Path) -> None:
    commands = re.findall(r"^joulemark (\w+)[^\n]*", "\n".join(_blocks("sh")), re.MULTILINE)
    assert commands
    assert set(commands) <= set(VERBS)


@pytest.mark.parametrize(
    "command", re.findall(r"^(joulemark (?:doctor|schema|measure)[^\n#]*)", "\n".join(_blocks("sh")), re.MULTILINE)
)
def test_commands_that_need_nothing_run_as_they_are_printed(command: str, tmp_path: Path) -> None:
    words = [sys.executable, "-m", *command.split()]
    words = [sys.executable if w == "python" else w for w in words]
    done = subprocess.run(words, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_pictures_and_links_lead_somewhere() -> None:
    for file in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", file.read_text()):
            if not target.startswith("http"):
                assert (file.parent / target).exists(), f"{file.name}: {target}"


def test_every_verb_and_every_exit_code_is_documented() -> None:
    text = (ROOT / "docs/cli.md").read_text()
    for verb in VERBS:
        assert f"| `{verb}" in text, verb
    codes = {getattr(errors, name).exit_code for name in errors.__all__} | {0, errors.INTERRUPTED}
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    assert documented == codes


def test_suites_that_ship_can_be_read() -> None:
    assert "quickstart" in suite_names()
