"""Which precision is chosen where, and that every kind of training asks the same function."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from attribute_models.training.fitting import FitSettings
from detector.training.settings import TrainSettings
from generators.training.settings import TrainSettings as GeneratorSettings
from manifests.errors import UsageError
from nn import precision
from nn.precision import Choice, Precision, choose, cpu_features, missing_on_cpu, possible, slowdown

MODERN = frozenset({"avx2", "avx512f", "avx512_bf16", "amx_bf16"})


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "missing", lambda device: "")


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "missing", lambda device: "this CPU has no bfloat16 arithmetic")
    monkeypatch.setattr(precision, "slowdown", lambda device: 8.25)


@pytest.mark.parametrize(
    ("runs", "features", "limit", "lacking"),
    [
        (True, MODERN, "", ""),
        (True, MODERN, "AVX512_CORE_AMX", ""),
        (True, MODERN, "DEFAULT", ""),
        (True, frozenset({"asimd", "bf16"}), "", ""),
        (
            True,
            frozenset({"avx2", "avx512f"}),
            "",
            "no bfloat16 arithmetic",
        ),  # torch says it runs: by emulation
        (False, frozenset({"avx2"}), "", "no bfloat16 arithmetic"),
        (True, MODERN, "AVX512_CORE", "ONEDNN_MAX_CPU_ISA=AVX512_CORE"),
        (False, MODERN, "avx2", "ONEDNN_MAX_CPU_ISA=avx2"),
        (False, MODERN, "", "this torch"),
    ],
)
def test_native_arithmetic_is_told_from_emulation(
    runs: bool, features: frozenset[str], limit: str, lacking: str
) -> None:
    found = missing_on_cpu(runs, features, limit)
    assert lacking in found
    assert bool(found) == bool(lacking)


def test_features_are_read_from_cpuinfo(tmp_path: Path) -> None:
    (tmp_path / "x86").write_text(
        "processor\t: 0\nflags\t\t: fpu avx2 avx512_bf16\n\nprocessor\t: 1\nflags\t\t: fpu\n"
    )
    (tmp_path / "arm").write_text("processor\t: 0\nFeatures\t: asimd bf16\n")
    assert cpu_features(tmp_path / "x86") == {"fpu", "avx2", "avx512_bf16"}
    assert "bf16" in cpu_features(tmp_path / "arm")
    assert cpu_features(tmp_path / "none") <= {"avx512_bf16", "amx_bf16"}


@pytest.mark.usefixtures("native")
def test_auto_takes_bfloat16_where_it_is_native() -> None:
    assert choose("auto", "cpu").used == "bfloat16"
    assert choose("float32", "cpu") == Choice("float32", "float32", "as set")
    assert choose("bfloat16", "cpu").slowdown is None
    assert choose("bf16", "cpu").used == "bfloat16"


@pytest.mark.usefixtures("emulated")
def test_auto_takes_float32_elsewhere_and_a_slow_setting_is_warned_of() -> None:
    assert choose("auto", "cpu").used == "float32"
    assert choose("auto", "cpu").text == "precision float32 (auto: this CPU has no bfloat16 arithmetic)"
    slow = choose("bfloat16", "cpu")
    assert slow.used == "bfloat16"
    assert slow.text.startswith("warning: ")
    assert "8.2 times as long as float32" in slow.text
    assert "warning" not in Choice("bfloat16", "bfloat16", "as set", 0.9).text


@pytest.mark.usefixtures("native")
def test_processes_agree() -> None:
    heard: list[bool] = []
    assert choose("auto", "cpu", lambda own: bool(heard.append(own))).used == "float32"
    assert heard == [True]


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(UsageError, match="float16"):
        choose("float16", "cpu")
    with pytest.raises(ValidationError):
        TypeAdapter(Precision).validate_python("float16")


def test_possible_precisions() -> None:
    assert possible("auto") == ("float32", "bfloat16")
    assert possible("float32") == ("float32",)


def test_measuring_is_quick_and_leaves_the_random_state_alone() -> None:
    before, clock = torch.get_rng_state(), os.times()
    assert slowdown("cpu") > 0
    after = os.times()
    assert after.user + after.system - clock.user - clock.system < 1.0
    assert torch.equal(torch.get_rng_state(), before)


def test_onednn_s_limit_counts_in_a_new_process() -> None:
    script = "from nn.precision import choose; print(choose('auto', 'cpu').text)"
    found = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert found.startswith("precision float32 (auto: ")


def test_every_training_asks_for_auto() -> None:
    assert TrainSettings().precision == FitSettings().precision == "auto"
    assert GeneratorSettings(phases=({"resolution": 16, "kimg": 1},)).precision == "auto"


@pytest.mark.parametrize(
    ("older", "now"),
    [
        ({"bf16": True}, "bfloat16"),
        ({"bf16": False}, "float32"),
        ({"precision": "bf16"}, "bfloat16"),
    ],
)
def test_older_settings_are_understood(older: dict[str, Any], now: str) -> None:
    assert TrainSettings(**older).precision == now
    assert "bf16" not in TrainSettings(**older).model_dump()


@pytest.mark.parametrize("wrong", [{"bf16": "auto"}, {"bf16": True, "precision": "auto"}])
def test_older_settings_that_mean_nothing_name_the_new_key(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="precision"):
        TrainSettings(**wrong)


@pytest.mark.parametrize("setting", ["fp32", "bf16", "float32", "bfloat16", "auto"])
def test_a_generator_s_older_names_are_understood(setting: str) -> None:
    settings = GeneratorSettings(phases=({"resolution": 16, "kimg": 1},), precision=setting)
    assert settings.precision in ("auto", "float32", "bfloat16")
