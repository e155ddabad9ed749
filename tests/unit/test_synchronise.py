"""Accelerators are waited for, but only by frameworks that the program has loaded and uses, and never at its cost."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import subprocess
import sys
import time
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from joulemark.meter import synchronise as module
from joulemark.meter.synchronise import synchronise


@pytest.fixture(autouse=True)
def _no_framework(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever other tests have imported, a test sees only what it puts there."""
    for name in ("torch", "jax", "jax._src.xla_bridge", "cupy"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(module, "_inherited", frozenset())


class Torch(ModuleType):
    """A PyTorch with CUDA devices, of which some have a context."""

    def __init__(self, *, devices: int = 2, contexts: tuple[int, ...] = (0,), initialised: bool = True) -> None:
        super().__init__("torch")
        self.waited: list[object] = []
        self.capturing = False
        self.failure: Exception | None = None
        self.cuda = SimpleNamespace(
            is_initialized=lambda: initialised,
            is_current_stream_capturing=lambda: self.capturing,
            device_count=lambda: devices,
            synchronize=self._wait,
        )
        self._C = SimpleNamespace(_cuda_hasPrimaryContext=lambda device: device in contexts)

    def _wait(self, device: object = "mps") -> None:
        if self.failure:
            raise self.failure
        self.waited.append(device)

    def with_xpu(self) -> Torch:
        self.xpu = SimpleNamespace(
            is_initialized=lambda: True, device_count=lambda: 1, synchronize=lambda d: self._wait(f"xpu {d}")
        )
        return self

    def with_mps(self, memory: int) -> Torch:
        self.backends = SimpleNamespace(mps=SimpleNamespace(is_available=lambda: True))
        self.mps = SimpleNamespace(driver_allocated_memory=lambda: memory, synchronize=self._wait)
        return self


def load(monkeypatch: pytest.MonkeyPatch, name: str, framework: Any) -> Any:
    monkeypatch.setitem(sys.modules, name, framework)
    return framework


def test_without_a_framework_nothing_is_waited_for_imported_or_said() -> None:
    before = set(sys.modules)
    assert synchronise() == ()
    assert set(sys.modules) == before


def test_without_a_framework_it_costs_next_to_nothing() -> None:
    """A bound far above its cost of about a microsecond, which benchmarks show."""
    start = time.perf_counter()
    for _ in range(1000):
        synchronise()
    assert time.perf_counter() - start < 0.1


def test_torch_is_waited_for_on_every_device_that_this_process_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = load(monkeypatch, "torch", Torch(devices=4, contexts=(0, 3)))
    assert synchronise() == ()
    assert torch.waited == [0, 3]


def test_a_torch_that_has_not_touched_its_gpu_is_not_made_to(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = load(monkeypatch, "torch", Torch(initialised=False))
    assert synchronise() == ()
    assert torch.waited == []


def test_a_capture_of_a_cuda_graph_is_not_spoiled(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = load(monkeypatch, "torch", Torch())
    torch.capturing = True
    assert synchronise() == ("torch not synchronised: a CUDA graph is being captured",)
    assert torch.waited == []


def test_an_error_of_the_framework_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = load(monkeypatch, "torch", Torch())
    torch.failure = RuntimeError("CUDA error: device-side assert triggered")
    assert synchronise() == ("torch not synchronised: RuntimeError: CUDA error: device-side assert triggered",)


def test_intel_and_apple_devices_of_torch_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = load(monkeypatch, "torch", Torch(initialised=False).with_xpu().with_mps(memory=1))
    assert synchronise() == ()
    assert torch.waited == ["xpu 0", "mps"]


def test_an_apple_device_without_memory_in_use_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = load(monkeypatch, "torch", Torch(initialised=False).with_mps(memory=0))
    assert synchronise() == ()
    assert torch.waited == []


@pytest.mark.parametrize("name", ["torch", "jax", "cupy"])
def test_a_framework_that_is_still_being_imported_or_is_barred_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    load(monkeypatch, name, ModuleType(name))
    assert synchronise() == ()
    monkeypatch.setitem(sys.modules, name, None)  # how imports are barred
    assert synchronise() == ()


class Jax(ModuleType):
    def __init__(self, *platforms: str) -> None:
        super().__init__("jax")
        self.waited: list[str] = []
        self.bridge = SimpleNamespace(
            _backends=dict.fromkeys(platforms), backends_are_initialized=lambda: bool(platforms)
        )

    def live_arrays(self, platform: str | None = None) -> list[str]:
        assert platform is not None, "asking for the default backend would initialise one"
        return [f"array on {platform}"]

    def block_until_ready(self, arrays: list[str]) -> None:
        self.waited.extend(arrays)

    def effects_barrier(self) -> None:
        self.waited.append("effects")


def test_jax_is_waited_for_on_every_backend_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    jax = load(monkeypatch, "jax", Jax("cpu", "cuda"))
    load(monkeypatch, "jax._src.xla_bridge", jax.bridge)
    assert synchronise() == ()
    assert jax.waited == ["array on cpu", "array on cuda", "effects"]


def test_a_jax_without_backends_is_given_none(monkeypatch: pytest.MonkeyPatch) -> None:
    jax = load(monkeypatch, "jax", Jax())
    load(monkeypatch, "jax._src.xla_bridge", jax.bridge)
    assert synchronise() == ()
    assert jax.waited == []


class Cupy(ModuleType):
    def __init__(self) -> None:
        super().__init__("cupy")
        self.waited: list[int] = []
        self.capturing = False
        self._current = 0
        self.cuda = SimpleNamespace(
            Device=self._device,
            get_current_stream=lambda: SimpleNamespace(ptr=7),
            runtime=SimpleNamespace(
                deviceSynchronize=lambda: self.waited.append(self._current),
                streamIsCapturing=lambda ptr: self.capturing,
            ),
        )

    def _device(self, number: int) -> Any:
        outer = self

        class Current:
            def __enter__(self) -> None:
                outer._current = number

            def __exit__(self, *_: object) -> None:
                outer._current = 0

        return Current()


def test_cupy_is_waited_for_where_there_is_a_context(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = load(monkeypatch, "cupy", Cupy())
    monkeypatch.setattr(module, "_devices_with_context", lambda: (0, 2))
    assert synchronise() == ()
    assert cupy.waited == [0, 2]


def test_cupy_without_a_context_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = load(monkeypatch, "cupy", Cupy())
    monkeypatch.setattr(module, "_devices_with_context", lambda: ())
    assert synchronise() == ()
    assert cupy.waited == []


def test_a_capture_of_cupy_is_not_spoiled(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = load(monkeypatch, "cupy", Cupy())
    cupy.capturing = True
    monkeypatch.setattr(module, "_devices_with_context", lambda: (0,))
    assert synchronise() == ("cupy not synchronised: a CUDA graph is being captured",)
    assert cupy.waited == []


def test_cupy_on_rocm_says_that_it_was_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = load(monkeypatch, "cupy", Cupy())
    cupy.cuda.runtime.is_hip = True
    assert synchronise() == ("cupy not synchronised: on ROCm it cannot be told which devices it uses",)
    assert cupy.waited == []


class Driver:
    """A CUDA driver's library with contexts on some devices."""

    def __init__(self, *active: bool, initialised: bool = True) -> None:
        self._active, self._initialised = active, initialised

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = len(self._active)
        return 0 if self._initialised else 3  # CUDA_ERROR_NOT_INITIALIZED

    def cuDevicePrimaryCtxGetState(self, device: int, flags: Any, active: Any) -> int:  # noqa: N802
        assert isinstance(flags._obj, ctypes.c_uint)
        active._obj.value = self._active[device]
        return 0


def test_devices_with_a_context_are_asked_of_a_driver_that_is_loaded() -> None:
    assert module._devices_with_context(lambda: Driver(True, False, True)) == (0, 2)
    assert module._devices_with_context(lambda: Driver(True, initialised=False)) == ()


def test_a_driver_that_is_not_loaded_is_not_loaded_for_the_question() -> None:
    def missing() -> Any:
        raise OSError("libcuda.so.1: cannot open shared object file")

    assert module._devices_with_context(missing) == ()


def test_one_framework_s_failure_does_not_keep_the_next_from_being_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    load(monkeypatch, "torch", Torch()).failure = RuntimeError("lost")
    jax = load(monkeypatch, "jax", Jax("cpu"))
    load(monkeypatch, "jax._src.xla_bridge", jax.bridge)
    assert len(synchronise()) == 1
    assert jax.waited


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_leaves_alone_what_its_parent_used(monkeypatch: pytest.MonkeyPatch) -> None:
    load(monkeypatch, "torch", Torch())
    load(monkeypatch, "cupy", Cupy())  # loaded, but not in use
    monkeypatch.setattr(module, "_devices_with_context", lambda: ())
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, "|".join(synchronise()).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        said = stream.read().decode()
    os.waitpid(child, 0)

    assert said == "torch not synchronised: it was in use before this process was forked"
    assert synchronise() == (), "the parent goes on waiting"


def test_a_framework_that_cannot_tell_is_left_alone_by_a_child() -> None:
    def broken(_: Any) -> bool:
        raise RuntimeError("half torn down")

    assert module._surely_in_use(module._Framework("x", broken, lambda _: ()), None)


@pytest.mark.torch
def test_the_real_torch_without_a_gpu_is_asked_and_not_initialised() -> None:
    if importlib.util.find_spec("torch") is None:  # importing it here would be a second time in this process
        pytest.skip("torch is not installed")
    code = (
        "import torch; from joulemark.meter.synchronise import synchronise; torch.ones(2) @ torch.ones(2);"
        "print(synchronise(), torch.cuda.is_initialized())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["()", "False"]
