"""The promise to be light: a lazy import, a small core, and a hint where an extra is missing."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMPORT_LIMIT_S = 0.015
CORE_LIMIT_BYTES = 30_000_000
CORE_LIMIT_DISTRIBUTIONS = 16


def _python(code: str, executable: str | Path = sys.executable) -> str:
    return subprocess.run([executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_costs_next_to_nothing() -> None:
    timed = "import time; t = time.perf_counter(); import joulemark; print(time.perf_counter() - t)"
    assert min(float(_python(timed)) for _ in range(7)) <= IMPORT_LIMIT_S


def test_importing_loads_nothing_heavy() -> None:
    loaded = _python("import sys, joulemark; print(*sys.modules)").split()
    assert not {"msgspec", "rich", "typer", "numpy", "psutil", "pynvml", "pydantic", "joulemark.meter"} & set(loaded)


def test_measuring_needs_neither_numpy_nor_rich() -> None:
    code = (
        "import sys, joulemark as jm\nwith jm.measure('x') as w: pass\n"
        "print(w.energy, file=sys.stderr)\nprint(*sys.modules)"
    )
    assert not {"numpy", "rich", "typer", "pydantic", "yaml"} & set(_python(code).split())


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the core alone."""
    folder = tmp_path_factory.mktemp("core")
    venv.create(folder, with_pip=True)
    done = subprocess.run(
        [folder / "bin/pip", "install", "-q", "--disable-pip-version-check", str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no package index can be reached: {done.stderr.strip().splitlines()[-1]}")
    return folder


def test_the_core_is_small(core: Path) -> None:
    listed = json.loads(subprocess.check_output([core / "bin/pip", "list", "--format=json"], text=True))
    distributions = {d["name"] for d in listed} - {"pip", "setuptools", "wheel"}
    assert len(distributions) <= CORE_LIMIT_DISTRIBUTIONS, distributions
    code = (
        "from importlib.metadata import distributions as d\n"
        "print(sum(f.locate().stat().st_size for x in d() if x.name not in ('pip', 'setuptools', 'wheel')"
        " for f in x.files or () if f.locate().exists()))"
    )
    assert int(_python(code, core / "bin/python")) <= CORE_LIMIT_BYTES


def test_what_is_installed_holds_all_its_data(core: Path) -> None:
    code = "from importlib.metadata import files; print(*files('joulemark'), sep='\\n')"
    listed = _python(code, core / "bin/python")
    for name in (
        "py.typed",
        "bench/suites/quickstart.yaml",
        "footprint/grid.csv",
        "reports/templates/report.html.j2",
        "workloads/models.toml",
        "workloads/inputs/sentence-01.wav",
        "workloads/digits/onnx/unet.onnx",
        "workloads/digits/pipeline/unet/diffusion_pytorch_model.safetensors",
        "workloads/digits/training.json",
    ):
        assert f"joulemark/{name}\n" in listed, name


@pytest.mark.parametrize("verb", [("doctor", "--json"), ("measure", "--json", "--", "true"), ("schema", "run")])
def test_the_core_carries_its_verbs(core: Path, verb: tuple[str, ...]) -> None:
    done = subprocess.run([core / "bin/joulemark", *verb], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout or done.stderr)


def test_the_core_carries_watch(core: Path) -> None:
    done = subprocess.run(
        [core / "bin/joulemark", "watch", "--every", "0.1", "--for", "0.2"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_verb_without_its_extra_says_which_one(core: Path) -> None:
    done = subprocess.run([core / "bin/joulemark", "bench", "quickstart"], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "pip install 'joulemark[bench]'" in done.stderr
    assert "Traceback" not in done.stderr
