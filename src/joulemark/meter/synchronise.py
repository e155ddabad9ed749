"""Wait for accelerators at the edges of a window, so that the work of a window is drawn within it.

Frameworks hand work to an accelerator and go on; a window that is closed then has that work's energy behind its edge.
Those that the program *has loaded and uses* are waited for. None is imported here, none is initialised: a program that
never touched its GPU is not given a context on it.

There is no time-out: work that was queued will run, and its energy belongs to the window. What cannot be waited for is
told in notes and never raised:

- during the capture of a CUDA graph, synchronising is an error that would spoil the capture (CUDA runtime,
  cudaErrorStreamCaptureUnsupported). Only a capture on the calling thread's current stream can be seen.
- in a forked child of a process that used the framework: CUDA cannot be used there (PyTorch, "CUDA in
  multiprocessing"), and the threads that would finish JAX's work are gone.
- JAX has no call that waits for a device: arrays that are alive are waited for, and side effects
  (``jax.effects_barrier``). Work whose result was thrown away before it was done is not.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["synchronise"]


@dataclass(frozen=True, slots=True)
class _Framework:
    """How to wait for one framework; both functions get its module.

    Attributes:
        name: of its module.
        in_use: whether this process has given it an accelerator (or a backend).
        wait: waits, and gives notes on what it could not wait for.
    """

    name: str
    in_use: Callable[[Any], bool]
    wait: Callable[[Any], Iterable[str]]


def synchronise() -> tuple[str, ...]:
    """Wait until the accelerators have done what loaded frameworks gave them.

    Returns:
        What was not waited for and why, one sentence each; empty if nothing was left out.
    """
    modules = sys.modules
    notes: list[str] = []
    for framework in _FRAMEWORKS:
        module = modules.get(framework.name)
        if module is not None:
            notes.extend(_attempt(framework, module))
    return tuple(notes)


def _attempt(framework: _Framework, module: Any) -> Iterable[str]:
    if framework.name in _inherited:
        return (f"{framework.name} not synchronised: it was in use before this process was forked",)
    try:
        return tuple(framework.wait(module)) if framework.in_use(module) else ()
    except Exception as error:  # noqa: BLE001 - foreign code must not end the user's job; the note keeps its error
        return (f"{framework.name} not synchronised: {type(error).__name__}: {error}",)


# --- PyTorch ---------------------------------------------------------------------------------------------------------


def _torch_in_use(torch: Any) -> bool:
    return _initialised(torch, "cuda") or _initialised(torch, "xpu") or _mps_in_use(torch)


def _initialised(torch: Any, kind: str) -> bool:
    """Whether a kind of device was initialised; False while torch itself is still being imported."""
    part = getattr(torch, kind, None)
    return part is not None and bool(part.is_initialized())


def _mps_in_use(torch: Any) -> bool:
    backend = getattr(getattr(torch, "backends", None), "mps", None)
    # Metal has no flag for "initialised"; memory that its driver holds for this process stands for it.
    return backend is not None and bool(backend.is_available()) and torch.mps.driver_allocated_memory() > 0


def _wait_for_torch(torch: Any) -> Iterable[str]:
    if _initialised(torch, "cuda"):
        if torch.cuda.is_current_stream_capturing():
            yield "torch not synchronised: a CUDA graph is being captured"
        else:
            for device in range(torch.cuda.device_count()):
                # Synchronising a device would give it a context; one without has nothing to wait for.
                if torch._C._cuda_hasPrimaryContext(device):
                    torch.cuda.synchronize(device)
    if _initialised(torch, "xpu"):
        for device in range(torch.xpu.device_count()):
            torch.xpu.synchronize(device)
    if _mps_in_use(torch):
        torch.mps.synchronize()


# --- JAX -------------------------------------------------------------------------------------------------------------


def _backends(jax: Any) -> tuple[str, ...]:
    """Name the backends that JAX has initialised: every public way to ask would initialise them."""
    bridge: Any = sys.modules.get("jax._src.xla_bridge")
    if bridge is None or getattr(jax, "live_arrays", None) is None:
        return ()
    return tuple(bridge._backends) if bridge.backends_are_initialized() else ()


def _jax_in_use(jax: Any) -> bool:
    return bool(_backends(jax))


def _wait_for_jax(jax: Any) -> Iterable[str]:
    for platform in _backends(jax):
        jax.block_until_ready(jax.live_arrays(platform))
    jax.effects_barrier()
    return ()


# --- CuPy ------------------------------------------------------------------------------------------------------------


def _cupy_in_use(cupy: Any) -> bool:
    return getattr(cupy, "cuda", None) is not None and (_on_rocm(cupy) or bool(_devices_with_context()))


def _on_rocm(cupy: Any) -> bool:
    return bool(getattr(cupy.cuda.runtime, "is_hip", False))


def _wait_for_cupy(cupy: Any) -> Iterable[str]:
    runtime = cupy.cuda.runtime
    if _on_rocm(cupy):
        return ("cupy not synchronised: on ROCm it cannot be told which devices it uses",)
    if runtime.streamIsCapturing(cupy.cuda.get_current_stream().ptr):
        return ("cupy not synchronised: a CUDA graph is being captured",)
    for device in _devices_with_context():
        with cupy.cuda.Device(device):
            runtime.deviceSynchronize()
    return ()


def _devices_with_context(load: Callable[[], Any] | None = None) -> tuple[int, ...]:
    """Number the CUDA devices on which this process has a primary context, asking the driver if it is loaded at all.

    ``cuDeviceGetCount`` and ``cuDevicePrimaryCtxGetState`` initialise nothing: before ``cuInit`` they fail with
    CUDA_ERROR_NOT_INITIALIZED (CUDA driver API, 6.5 and 6.7).
    """
    try:
        driver = (load or _loaded_driver)()
    except OSError:
        return ()
    count, flags, active = ctypes.c_int(), ctypes.c_uint(), ctypes.c_int()
    if driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return ()
    return tuple(
        device
        for device in range(count.value)
        if driver.cuDevicePrimaryCtxGetState(device, ctypes.byref(flags), ctypes.byref(active)) == 0 and active.value
    )


def _loaded_driver() -> Any:
    """Take the CUDA driver's library if this process has loaded it (RTLD_NOLOAD, dlopen(3)); OSError otherwise."""
    return ctypes.CDLL("libcuda.so.1", mode=os.RTLD_NOLOAD | os.RTLD_LAZY)


_FRAMEWORKS = (
    _Framework("torch", _torch_in_use, _wait_for_torch),
    _Framework("jax", _jax_in_use, _wait_for_jax),
    _Framework("cupy", _cupy_in_use, _wait_for_cupy),
)


# --- Forks -----------------------------------------------------------------------------------------------------------

_inherited: frozenset[str] = frozenset()
"""Frameworks that were in use in the parent when this process was forked."""

_about_to_fork: frozenset[str] = frozenset()


def _before_fork() -> None:
    global _about_to_fork
    _about_to_fork = frozenset(
        f.name for f in _FRAMEWORKS if sys.modules.get(f.name) is not None and _surely_in_use(f, sys.modules[f.name])
    )


def _surely_in_use(framework: _Framework, module: Any) -> bool:
    """Whether a framework is in use; one that cannot tell is taken to be, for then the child leaves it alone."""
    try:
        return framework.in_use(module)
    except Exception:  # noqa: BLE001 - foreign code, in the middle of somebody's fork
        return True


def _after_fork() -> None:
    global _inherited
    _inherited |= _about_to_fork


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
