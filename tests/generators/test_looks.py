"""What drawn faces look like: held to what is wanted of their cell, and nothing else of them changed."""

import math
from dataclasses import replace

import numpy as np
import pytest

from generators.cells import RefineParams, fit_cells, refine_cells
from generators.cells.looks import MEASURES, Looks, calibrate_looks, fit_looks, scaled
from generators.cells.model import CellModel
from manifests.errors import DataError
from tests.generators.cell_world import DIM, PARAMS, TAXONOMY, World

WANTED = {
    "brightness": {cell: (130.0 + k, 20.0) for k, cell in enumerate(TAXONOMY.cells)},
    "sharpness": dict.fromkeys(TAXONOMY.cells, (6.0, 0.8)),
}


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def model(world: World) -> CellModel:
    w = world.latents(3000)
    first = fit_cells(w, world.label(w), TAXONOMY, PARAMS)
    refine = RefineParams(draws=60, tries=24, sure=0.5)
    return refine_cells(first, w, world.label(w), world.label, PARAMS, refine, seed=3)


@pytest.fixture(scope="module")
def directions() -> np.ndarray:
    return np.random.default_rng(8).standard_normal((DIM, 3)) * (20, 3, 0.5) / math.sqrt(DIM)


@pytest.fixture(scope="module")
def measure(model, directions):
    """Pictures' measures, of which brightness bends: float64 [n, 3] of latents."""

    def measured(w: np.ndarray) -> np.ndarray:
        y = model.whiten(w) @ directions
        noise = np.abs(np.sin(1e3 * w[:, :3].astype(np.float64)))
        bright = 110 + y[:, 0] + 0.002 * y[:, 0] ** 2 + 5 * noise[:, 0]
        return np.stack([bright, 50 + y[:, 1], np.expm1(4.4 + y[:, 2] + 0.2 * noise[:, 1])], axis=1)

    return measured


@pytest.fixture(scope="module")
def looks(world, model, measure) -> Looks:
    w = world.latents(3000)
    return fit_looks(model.whiten(w), measure(w), world.label(w), TAXONOMY, TAXONOMY.cells, WANTED)


@pytest.fixture(scope="module")
def held(model, looks, measure) -> CellModel:
    def draw(now, cell, number):
        w = replace(model, looks=now).sample(cell, range(1000 * number, 1000 * number + 120))
        return model.whiten(w), measure(w)

    return replace(model, looks=calibrate_looks(looks, draw))


def test_draws_have_the_wanted_look_of_their_cell(held, model, measure):
    for name, wanted in WANTED.items():
        column, off = MEASURES.index(name), {"held": [], "free": []}
        for cell, (mean, sd) in wanted.items():
            for which, m in (("held", held), ("free", model)):
                values = scaled(measure(m.sample(cell, range(5000, 5300))))[:, column]
                off[which].append(abs(values.mean() - mean) / sd)
                assert which == "free" or values.std() == pytest.approx(sd, rel=0.15)
        assert max(off["held"]) < 0.2
        assert np.mean(off["free"]) > 0.5, "the test would pass without"


def test_calibration_makes_up_for_what_draws_have_beyond_the_readers(looks, model):
    """Pictures are brighter than read by 7, and their brightness spreads by half as much again."""
    seen = []

    def draw(now, cell, number):
        u = model.whiten(replace(model, looks=now).sample(cell, range(400)))
        seen.append((cell, number))
        read = now.read(u)
        y = read + np.array([7.0, -0.3]) + (read - read.mean(axis=0)) * np.array([0.5, 0.0])
        return u, np.stack([y[:, 0], np.zeros(len(y)), np.expm1(y[:, 1])], axis=1)

    found = calibrate_looks(looks, draw, rounds=2)
    half = calibrate_looks(looks, draw, psi=0.5, rounds=1)
    for cell in TAXONOMY.cells:
        np.testing.assert_allclose(found.means[cell], looks.means[cell] - (7.0, -0.3), atol=1e-6)
        np.testing.assert_array_equal(found.wanted[cell], looks.wanted[cell])
        _, measured = draw(found, cell, 9)
        sd = scaled(measured)[:, [MEASURES.index(name) for name in looks.names]].std(axis=0)
        np.testing.assert_allclose(sd, looks.wanted[cell][1], rtol=0.02)
        assert half.spreads[cell][0, 0] < 0.7 * found.spreads[cell][0, 0]
    assert seen[:16] == [(cell, number) for number in range(2) for cell in TAXONOMY.cells]


def test_only_the_look_of_a_latent_is_moved_and_the_reader_judges_it_moved(held, model):
    cell, seed = "Asian/Male", 12
    one = replace(held, tries=1)
    moved = model.whiten(one.sample(cell, [seed])) - model.whiten(
        replace(model, tries=1).sample(cell, [seed])
    )
    inside = held.looks.weights @ np.linalg.lstsq(held.looks.weights, moved[0], rcond=None)[0]
    np.testing.assert_allclose(inside, moved[0], atol=1e-3)
    target = held.looks.draw(cell, seed, 1.0)
    np.testing.assert_allclose(held.looks.read(model.whiten(one.sample(cell, [seed])))[0], target, atol=1e-3)
    every = held._looked(cell, held._candidates(cell, seed, 1.0, 1.0), seed, 1.0)
    np.testing.assert_allclose(held.looks.read(every), np.tile(target, (len(every), 1)), atol=1e-6)
    chosen = every[held._choice(held._scores(cell, every))]
    np.testing.assert_allclose(model.whiten(held.sample(cell, [seed]))[0], chosen, atol=1e-3)


def test_hit_rates_stay(held, model, world):
    for cell in ("White/Male", "Indian/Female"):
        index = TAXONOMY.cells.index(cell)
        rates = []
        for m in (held, model):
            race, gender = world.label(m.sample(cell, range(300)))
            rates.append((race.argmax(axis=1) * 2 + gender.argmax(axis=1) == index).mean())
        assert rates[0] > rates[1] - 0.05


def test_screened_latents_are_held_too_by_their_seed(held, model, world):
    pool, cell = world.latents(400), "Black/Male"

    def screened(seed, psi=1.0):
        w = held.screen(cell, [pool[:200], pool[200:]], seed=seed, psi=psi, strength=0.3)
        return held.looks.read(model.whiten(w[None]))[0]

    for seed in (1, 2):
        np.testing.assert_allclose(screened(seed), held.looks.draw(cell, seed, 1.0), atol=1e-3)
    assert np.abs(screened(1) - screened(2)).max() > 0.1
    middle = held.looks.means[cell]
    np.testing.assert_allclose(screened(1, 0.5) - middle, (screened(1) - middle) / 2, atol=1e-3)


def test_looks_of_ones_own_are_those_of_the_latents_that_are_of_the_cell(world, model, measure):
    w = world.latents(3000)
    labels = world.label(w)
    own = fit_looks(model.whiten(w), measure(w), labels, TAXONOMY, TAXONOMY.cells, {"contrast": "own"})
    for cell in ("White/Male", "Asian/Female"):
        parts = TAXONOMY.parts(cell)
        share = labels[0][:, TAXONOMY.races.index(parts["race"])].astype(float)
        share = share * labels[1][:, TAXONOMY.genders.index(parts["gender"])]
        values = measure(w)[:, 1]
        mean = (share * values).sum() / share.sum()
        sd = np.sqrt((share * (values - mean) ** 2).sum() / share.sum())
        np.testing.assert_allclose(own.wanted[cell][:, 0], (mean, sd), rtol=1e-9)
    assert own.names == ("contrast",)


def test_a_counterfactual_set_is_not_moved(held, model):
    cells = TAXONOMY.cells
    assert np.array_equal(held.sample_counterfactual(cells, 4), model.sample_counterfactual(cells, 4))


def test_a_file_keeps_the_looks_and_one_without_has_none(held, model, tmp_path):
    held.save(tmp_path / "held.safetensors")
    again = CellModel.load(tmp_path / "held.safetensors")
    assert again.to_bytes() == held.to_bytes() != model.to_bytes()
    assert np.array_equal(again.sample("White/Male", [3]), held.sample("White/Male", [3]))
    assert b"looks" not in model.to_bytes()
    model.save(tmp_path / "free.safetensors")
    assert CellModel.load(tmp_path / "free.safetensors").looks is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"brightness", "sharpness"', b'"sharpness", "brightness"'),
        (b'"brightness", "sharpness"', b'"brightness"             '),
        (b'"looks.means"', b'"looks.beans"'),
    ],
)
def test_looks_that_do_not_fit_are_refused(held, tmp_path, old, new):
    data = held.to_bytes()
    plain, quoted = old in data, old.replace(b'"', b'\\"').replace(b", ", b",")
    swapped = (
        (old, new) if plain else (quoted, new.replace(b'"', b'\\"').replace(b", ", b",").ljust(len(quoted)))
    )
    assert swapped[0] in data
    path = tmp_path / "odd.safetensors"
    path.write_bytes(data.replace(*swapped))
    with pytest.raises(DataError, match=r"odd\.safetensors"):
        CellModel.load(path)


def test_a_look_is_never_far_out(held):
    drawn = np.stack([held.looks.draw("White/Female", seed, 1.0) for seed in range(3000)])
    z = np.linalg.solve(held.looks.spreads["White/Female"], (drawn - held.looks.means["White/Female"]).T)
    assert 2.3 < np.abs(z).max() <= 2.5
