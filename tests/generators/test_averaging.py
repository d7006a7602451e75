"""The mean of generators, and its command: weights, the mean style, half precision, what is refused."""

import json

import numpy as np
import pytest
import torch

from generators import load_generator
from generators.averaging import MEAN_LATENTS, mean_generator
from generators.checkpoints.files import load_checkpoint, save_generator
from generators.sampling import draw_z, map_latents, synthesize
from manifests.errors import UsageError
from nn.half_precision import BULK
from pipeline.__main__ import main
from tests.generators.small_generators import small_generator


@pytest.mark.parametrize("c_dim", [0, 3])
def test_weights_are_the_mean_and_the_mean_style_is_measured(c_dim):
    parts = [small_generator(seed=seed, c_dim=c_dim) for seed in (1, 2, 3)]
    mean = mean_generator(parts)
    for name, value in mean.named_parameters():
        wanted = np.mean([dict(part.named_parameters())[name].numpy() for part in parts], axis=0)
        assert np.allclose(value.numpy(), wanted, atol=1e-4), name
    z = draw_z(4, [("z", i) for i in range(4000)], 12)
    c = np.eye(3, dtype=np.float32)[np.arange(4000) % 3] if c_dim else None
    w = map_latents(mean, z, c)[:, 0]
    assert MEAN_LATENTS >= 4000
    error = np.abs(mean.mapping.w_avg.numpy() - w.mean(axis=0)) / w.std(axis=0)
    assert error.max() < 0.1
    assert float((parts[0].mapping.w_avg - mean.mapping.w_avg).abs().max()) > 0.2


def test_one_generator_is_its_own_mean():
    one = small_generator()
    mean = mean_generator([one])
    assert all(
        torch.equal(value, mean.state_dict()[name])
        for name, value in one.state_dict().items()
        if name != "mapping.w_avg"
    )


def test_generators_of_other_sizes_have_no_mean():
    with pytest.raises(UsageError, match="other sizes"):
        mean_generator([small_generator(), small_generator(resolution=32)])
    with pytest.raises(UsageError, match="no generator"):
        mean_generator([])


def test_the_command_writes_a_generator_that_is_read(tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    (run / "state.pt").write_bytes(b"x")
    wide = {"channel_max": 64, "channel_base": 4096}
    first, second = small_generator(seed=1, **wide), small_generator(seed=2, **wide)
    save_generator(run / "generator.safetensors", first)
    facts = {"data": "made-up discs", "licence": "CC0-1.0", "start": "/somewhere/else", "settings": "{}"}
    save_generator(tmp_path / "b.safetensors", second, facts)
    names = [str(run), str(tmp_path / "b.safetensors")]
    outs = {}
    for name, extra in (("whole", []), ("half", ["--half"])):
        out = tmp_path / f"{name}.safetensors"
        assert main(["generators", "average", *names, "--out", str(out), "--json", *extra]) == 0
        value = json.loads(capsys.readouterr().out)
        outs[name] = value
        assert value["bytes"] == out.stat().st_size
        assert value["average_of"] == [
            load_generator(path).sha256 for path in (run / "generator.safetensors", names[1])
        ]
        header = load_checkpoint(out)[2]
        assert {key: header[key] for key in ("data", "licence")} == {
            key: facts[key] for key in ("data", "licence")
        }
        assert not {"start", "settings"} & set(header)
    assert outs["half"]["bytes"] < 0.6 * outs["whole"]["bytes"]
    stored = load_checkpoint(tmp_path / "half.safetensors")[1]
    assert {t.dtype for t in stored.values() if t.numel() >= BULK} == {torch.float16}
    assert {t.dtype for t in stored.values() if t.numel() < BULK} == {torch.float32}
    whole, small = (load_generator(tmp_path / f"{name}.safetensors") for name in outs)
    w = map_latents(whole, draw_z(1, [("s", i) for i in range(8)], 12))
    change = np.abs(synthesize(whole, w).astype(float) - synthesize(small, w)).mean()
    assert 0 < change < 1
    assert change / 3 < outs["half"]["half_precision_change"] < change * 3
    assert "half_precision_change" not in outs["whole"]


def test_what_the_command_refuses(tmp_path, capsys):
    save_generator(tmp_path / "a.safetensors", small_generator())
    a = str(tmp_path / "a.safetensors")
    for names, out, said in (
        ([a], tmp_path / "mean.pt", ".safetensors"),
        ([a, str(tmp_path / "none.safetensors")], tmp_path / "mean.safetensors", "none.safetensors"),
    ):
        assert main(["generators", "average", *names, "--out", str(out)]) != 0
        assert said in capsys.readouterr().err
        assert not out.exists()
