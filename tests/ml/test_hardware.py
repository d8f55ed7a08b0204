from pathlib import Path

import pytest
import torch

from ml import hardware


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ("sse2 avx2 fma", "avx2"),
        ("avx2 avx512f", "avx512f"),
        ("avx2 avx512f avx512_bf16", "avx512_bf16"),
        ("avx2 avx512_bf16 amx_bf16", "amx_bf16"),
    ],
)
def test_the_number_format_follows_the_processors_flags(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str, name: str
) -> None:
    cpu_info = tmp_path / "cpuinfo"
    cpu_info.write_text(f"model name\t: any\nflags\t\t: {flags}\n", "utf-8")
    monkeypatch.setattr(hardware, "CPU_INFO", cpu_info)
    hardware.isa.cache_clear()
    try:
        assert hardware.isa() == name
        wanted = torch.bfloat16 if name.endswith("bf16") else torch.float32
        assert hardware.fast_dtype(torch.device("cpu")) is wanted
    finally:
        hardware.isa.cache_clear()
