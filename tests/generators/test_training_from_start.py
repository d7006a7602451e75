"""Going on from a generator: growing it, a discriminator for it, weights that stay or learn slowly."""

import json
import math

import pytest
import torch

from generators import load_generator
from generators.sampling import draw_z, map_latents
from generators.stylegan2.config import GeneratorConfig, MappingConfig, SynthesisConfig
from generators.stylegan2.discriminator import Discriminator, DiscriminatorConfig
from generators.stylegan2.generator import Generator
from generators.stylegan2.operations import fir_kernel, upsample2
from generators.training import Phase, TrainSettings
from generators.training.loop import TrainingRun
from generators.training.settings import OF_A_START
from generators.training.widening import widen_discriminator, widen_generator
from manifests.allocator import keep_freed_memory
from manifests.errors import UsageError
from nn.processes import World
from pipeline.commands.generators.training import find_start
from tests.generators.training_data import TINY, equal, prepared, tensors


def test_growing_from_a_checkpoint_keeps_its_pictures(folder, tmp_path):
    info = prepared(folder, tmp_path / "a")
    first = TrainSettings(phases=(Phase(resolution=8, kimg=0.2),), **TINY)
    path = TrainingRun(first, info, tmp_path / "a", World()).run()
    small = load_generator(path)
    prepared(folder, tmp_path / "b")
    second = TrainSettings(phases=(Phase(resolution=16, kimg=0.008),), learning_rate_g=1e-9, **TINY)
    grown = load_generator(TrainingRun(second, info, tmp_path / "b", World(), start=small).run())
    w = torch.from_numpy(map_latents(small, draw_z(1, [("s", i) for i in range(8)], 16))[:, 0])
    doubled = upsample2(small.synthesis(w), fir_kernel((1.0, 3.0, 3.0, 1.0)))
    assert torch.allclose(grown.synthesis(w), doubled, atol=1e-4)
    wrong = TrainSettings(phases=(Phase(resolution=32, kimg=1),), **TINY)
    with pytest.raises(UsageError, match="cannot grow"):
        TrainingRun(wrong, info, tmp_path / "c", World(), start=small).run()


def test_a_discriminator_is_warmed_up_for_a_generator_without_one(folder, tmp_path):
    info = prepared(folder, tmp_path / "a")
    path = TrainingRun(
        TrainSettings(phases=(Phase(resolution=16, kimg=0.04),), **TINY), info, tmp_path / "a", World()
    ).run()
    start, said = load_generator(path), []
    info = prepared(folder, tmp_path / "b")
    settings = TrainSettings(
        phases=(Phase(resolution=16, kimg=0.016),),
        warmup_kimg=0.8,
        warmup_fakes=128,
        learning_rate_g=1e-9,
        **TINY,
    )
    TrainingRun(settings, info, tmp_path / "b", World(), start=start, report=said.append).run()
    said = [line for line in said if line.startswith("warm-up")]
    losses = [float(line.rpartition(" ")[2]) for line in said if line.startswith("warm-up 16 px")]
    assert [line.split(":")[0] for line in said[:8:4]] == ["warm-up 8 px", "warm-up 16 px"]
    assert losses[-1] < 0.5 < 2 * math.log(2)  # chance is 2 ln 2
    first = json.loads((tmp_path / "b" / "metrics.jsonl").read_text().splitlines()[0])
    assert first["loss_d"] < 0.7


@pytest.fixture
def start(folder, tmp_path):
    info = prepared(folder, tmp_path / "start")
    settings = TrainSettings(phases=(Phase(resolution=8, kimg=0.2),), **TINY)
    return load_generator(TrainingRun(settings, info, tmp_path / "start", World()).run())


def change(start, state):
    """Largest change of a weight that came with the start, and of one that did not."""
    old, new = start.state_dict(), state["generator"]
    grown = ("synthesis.b16.conv0.weight", "synthesis.b16.conv1.weight", "synthesis.b16.torgb.weight")
    assert not set(grown) & set(old)
    names = [name for name in old if name.endswith((".weight", ".bias", ".const")) and "w_avg" not in name]
    return max(float((old[n] - new[n]).abs().max()) for n in names), max(
        float(new[n].abs().max()) for n in grown[2:]
    )


def test_old_weights_stay_while_frozen_then_learn_at_their_share(folder, tmp_path, start):
    changes = {}
    for name, kimg, share in (("frozen", 0.08, 1.0), ("slow", 0.16, 0.01), ("fast", 0.16, 1.0)):
        info = prepared(folder, tmp_path / name)
        settings = TrainSettings(
            phases=(Phase(resolution=16, kimg=kimg),),
            frozen_kimg=0.08,
            start_rate=share,
            path_weight=2.0,
            path_interval=2,
            **TINY,
        )
        TrainingRun(settings, info, tmp_path / name, World(), start=start).run()
        changes[name] = change(start, tensors(tmp_path / name / "state.pt"))
    assert changes["frozen"][0] == 0 < changes["frozen"][1]
    assert 0 < changes["slow"][0] < 0.05 * changes["fast"][0]


def test_settings_that_came_later_leave_the_key_of_earlier_runs_as_it_was():
    settings = TrainSettings(phases=(Phase(resolution=8, kimg=1),))
    assert " ".join(sorted(settings.key_values())) == (
        "ada_kimg ada_target architecture batch channel_base channel_max d_architecture ema_kimg "
        "fade_kimg frozen_kimg gamma learning_rate_d learning_rate_g mapping_layers mirror "
        "path_interval path_weight precision r1_interval seed start_rate style_mixing w_dim "
        "warmup_fakes warmup_kimg widen_d_to widen_to z_dim"
    )
    assert "mapping_rate" in settings.model_copy(update={"mapping_rate": 30.0}).key_values()


def test_the_mapping_network_learns_at_its_own_rate(folder, tmp_path, start):
    moved = {}
    for name, rate in (("still", 0.0), ("as is", 1.0), ("quick", 20.0)):
        info = prepared(folder, tmp_path / name)
        settings = TrainSettings(phases=(Phase(resolution=8, kimg=0.08),), mapping_rate=rate, **TINY)
        TrainingRun(settings, info, tmp_path / name, World(), start=start).run()
        state = tensors(tmp_path / name / "state.pt")["generator"]
        moved[name] = {
            part: max(
                float((value - state[key]).abs().max())
                for key, value in start.state_dict().items()
                if key.startswith(part) and key.endswith((".weight", ".bias"))
            )
            for part in ("mapping.", "synthesis.")
        }
    assert moved["still"]["mapping."] == 0 < moved["as is"]["mapping."] * 5 < moved["quick"]["mapping."]
    assert 0.3 < moved["quick"]["synthesis."] / moved["as is"]["synthesis."] < 3


def test_a_run_cut_while_frozen_ends_in_the_same_bytes(folder, tmp_path, start):
    settings = TrainSettings(
        phases=(Phase(resolution=16, kimg=0.128),),
        frozen_kimg=0.064,
        start_rate=0.5,
        snapshot_kimg=0.016,
        **TINY,
    )
    for name in ("whole", "cut"):
        info = prepared(folder, tmp_path / name)
    TrainingRun(settings, info, tmp_path / "whole", World(), start=start).run()
    for _ in range(5):
        TrainingRun(settings, info, tmp_path / "cut", World(), start=start).run(stop_after=3)
    TrainingRun(settings, info, tmp_path / "cut", World(), start=start).run()
    assert equal(tensors(tmp_path / "whole" / "state.pt"), tensors(tmp_path / "cut" / "state.pt"))


def test_a_frozen_generator_of_the_same_size_only_teaches_the_discriminator(folder, tmp_path, start):
    info = prepared(folder, tmp_path / "d")
    settings = TrainSettings(phases=(Phase(resolution=8, kimg=0.08),), frozen_kimg=1.0, **TINY)
    TrainingRun(settings, info, tmp_path / "d", World(), start=start).run()
    state = tensors(tmp_path / "d" / "state.pt")
    assert all(torch.equal(value, state["generator"][name]) for name, value in start.state_dict().items())
    fresh = TrainSettings(phases=(Phase(resolution=8, kimg=0.008),), frozen_kimg=1.0, **TINY)
    prepared(folder, tmp_path / "e")
    TrainingRun(fresh, info, tmp_path / "e", World(), start=start).run()
    other = tensors(tmp_path / "e" / "state.pt")["discriminator"]
    assert not equal(state["discriminator"], other)


def test_freed_memory_is_kept_where_the_c_library_can():
    assert keep_freed_memory() in (True, False)
    x = torch.ones(1 << 24)
    assert float((x * 2 + 1).mul(3).sum()) == 9 * (1 << 24)


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_a_wider_generator_gives_the_old_pictures_and_learns_in_its_new_channels(architecture):
    kwargs = {"z_dim": 16, "w_dim": 16, "img_resolution": 16, "mapping_kwargs": MappingConfig(num_layers=2)}

    def config(base, most):
        layers = SynthesisConfig(channel_base=base, channel_max=most, architecture=architecture)
        return GeneratorConfig(**kwargs, synthesis_kwargs=layers)

    old = Generator(config(64, 8))
    old.initialise(1)
    wide = widen_generator(old, config(256, 12), 2)
    w = torch.randn(4, old.num_ws, 16, generator=torch.Generator().manual_seed(3))
    assert torch.allclose(wide.synthesis(w), old.synthesis(w), atol=1e-5)
    wide.synthesis(w).square().mean().backward()
    new = wide.synthesis.b16.conv1.weight
    assert new.shape == (12, 12, 3, 3)
    assert float(new.grad[:4, 4:].abs().max()) > 0
    with pytest.raises(UsageError, match="wider network"):
        widen_generator(wide, config(64, 8), 2)
    with pytest.raises(UsageError, match="wider network"):
        widen_generator(old, config(256, 12).model_copy(update={"w_dim": 8}), 2)


def test_a_run_goes_on_from_another_with_its_discriminator_and_more_channels(folder, tmp_path):
    info = prepared(folder, tmp_path / "a")
    first = TrainSettings(phases=(Phase(resolution=8, kimg=0.1), Phase(resolution=16, kimg=0.1)), **TINY)
    TrainingRun(first, info, tmp_path / "a", World()).run()
    before = find_start(str(tmp_path / "a"))
    start, known = before["start"], before["known"]
    assert before["heads"] is None
    still = {"learning_rate_g": 1e-9, "learning_rate_d": 1e-9, "phases": (Phase(resolution=16, kimg=0.032),)}
    wide = TrainSettings(**still, widen_to=256, snapshot_kimg=0.008, **TINY)
    for name in ("whole", "cut"):
        info = prepared(folder, tmp_path / name)
        TrainingRun(wide, info, tmp_path / name, World(), start=start, known=known).run(
            1 if name == "cut" else None
        )
    TrainingRun(wide, info, tmp_path / "cut", World(), start=start, known=known).run()
    state = tensors(tmp_path / "whole" / "state.pt")
    assert equal(state, tensors(tmp_path / "cut" / "state.pt"))
    assert all(
        torch.allclose(value, state["discriminator"][name], atol=1e-6) for name, value in known.items()
    )
    grown = load_generator(tmp_path / "whole" / "generator.safetensors")
    more = TrainSettings(**still, widen_max_to=12, **TINY)
    info = prepared(folder, tmp_path / "most")
    wider = load_generator(
        TrainingRun(more, info, tmp_path / "most", World(), start=start, known=known).run()
    )
    w = torch.from_numpy(map_latents(start, draw_z(1, [("s", i) for i in range(8)], 16))[:, 0])
    assert grown.config.channels(8) == 8
    assert grown.config.channels(16) == 8 > start.config.channels(16)
    assert wider.config.channels(4) == 12
    assert wider.config.channels(16) == start.config.channels(16)
    assert torch.allclose(wider.synthesis(w), start.synthesis(w), atol=1e-4)
    assert torch.allclose(grown.synthesis(w), start.synthesis(w), atol=1e-4)
    with pytest.raises(UsageError, match="warmup_kimg"):
        TrainingRun(
            wide.model_copy(update={"warmup_kimg": 1.0}),
            info,
            tmp_path / "c",
            World(),
            start=start,
            known=known,
        )
    other = wide.model_copy(update={"channel_base": 128})
    with pytest.raises(UsageError, match="discriminator of other sizes"):
        TrainingRun(other, info, tmp_path / "c", World(), start=start, known=known).run()
    assert list(find_start(str(tmp_path / "a" / "generator.safetensors"))) == ["start"]
    assert find_start(None) == {}


@pytest.mark.parametrize("architecture", ["resnet", "skip", "orig"])
def test_a_wider_discriminator_gives_the_old_scores(architecture):
    def config(base):
        return DiscriminatorConfig(
            img_resolution=16, architecture=architecture, channel_base=base, channel_max=12
        )

    old = Discriminator(config(64))
    old.initialise(1)
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    wide = widen_discriminator(old, config(192), 2)
    assert wide.b16.conv0.weight.shape == (12, 12, 3, 3)
    assert torch.allclose(wide(x), old(x), atol=1e-5)
    wide(x).sum().backward()
    assert float(wide.b16.conv0.weight.grad[:4, 4:].abs().max()) > 0
    with pytest.raises(UsageError, match="wider network"):
        widen_discriminator(old, config(64).model_copy(update={"channel_max": 16}), 2)


@pytest.mark.parametrize("name", OF_A_START)
def test_a_setting_of_a_start_is_refused_without_one(folder, tmp_path, name):
    info = prepared(folder, tmp_path / "a")
    value = {"start_rate": 0.5, "warmup_kimg": 1.0, "frozen_kimg": 1.0}.get(name, 64)
    settings = TrainSettings(phases=(Phase(resolution=8, kimg=0.1),), **TINY, **{name: value})
    with pytest.raises(UsageError, match=f"{name}: says how training goes on"):
        TrainingRun(settings, info, tmp_path / "a", World())
