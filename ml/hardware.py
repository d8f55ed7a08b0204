"""What the processor can do, and the device and number format that follow from it."""

import platform
from functools import cache
from pathlib import Path

import torch

CPU_INFO = Path("/proc/cpuinfo")
BF16_FLAGS = ("amx_bf16", "avx512_bf16")


@cache
def isa() -> str:
    """Name the widest matrix instructions of this processor that matter here.

    Without native bf16 PyTorch emulates it, hundreds of times slower than fp32, so the number format must follow this.

    Returns:
        "amx_bf16", "avx512_bf16", "avx512f", "avx2", or the machine's architecture where the flags are unknown.
    """
    try:
        lines = CPU_INFO.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return platform.machine()
    flags = next((set(line.split(":", 1)[1].split()) for line in lines if line.startswith("flags")), set())
    return next((name for name in (*BF16_FLAGS, "avx512f", "avx2") if name in flags), platform.machine())


def choose_device(wanted: str) -> torch.device:
    """Return the device for "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N"."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(wanted)


def fast_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 where the device multiplies it natively, else float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if isa() in BF16_FLAGS else torch.float32
