"""Cells in a simulated world, whose directions of race and gender are known."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from generators.cells import CellParams, RefineParams, confident_cells, fit_cells, refine_cells
from generators.cells.density import Mixture, fit_mixture
from generators.cells.model import CellModel, unfold
from generators.cells.refine import _chosen, hits
from manifests.errors import DataError, GateError, MissingError, UsageError
from manifests.seeding import rng_of
from manifests.taxonomy import get_taxonomy
from tests.generators.cell_world import DIM, PARAMS, TAXONOMY, World


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def model(world: World) -> CellModel:
    w = world.latents(3000)
    return fit_cells(
        w, world.label(w), TAXONOMY, PARAMS, generator_sha256="a" * 64, attributes_sha256="b" * 64
    )


@pytest.fixture(scope="module")
def draws(model: CellModel) -> dict[str, np.ndarray]:
    return {
        cell: model.sample(cell, range(1000 * k, 1000 * k + 300)) for k, cell in enumerate(TAXONOMY.cells)
    }


def test_draws_fall_in_their_cell(world, model, draws):
    counts = model.counts
    assert max(counts.values()) > 3 * min(counts.values())
    for index, cell in enumerate(TAXONOMY.cells):
        race, gender = world.label(draws[cell])
        hit = (race.argmax(axis=1) * 2 + gender.argmax(axis=1) == index).mean()
        assert hit > 0.85, (cell, hit)  # chance is 1/8


def test_the_subspace_is_the_worlds(world, model):
    whiten = np.linalg.solve(world.mixing, model.factor)  # whitened coordinates -> the world's
    truth = np.concatenate(
        [world.race - world.race.mean(axis=1, keepdims=True), world.gender[:, None]], axis=1
    )
    truth = np.linalg.svd(whiten.T @ truth, full_matrices=False)[0][:, :4]
    cosines = np.linalg.svd(model.basis.T @ truth)[1]
    assert model.basis.shape == (DIM, 4)
    assert np.allclose(model.basis.T @ model.basis, np.eye(4), atol=1e-10)
    assert cosines.min() > 0.97


def test_cells_share_all_else(model, draws):
    parts = {cell: model.project(w) for cell, w in draws.items()}
    rest = DIM - model.basis.shape[1]
    for a, b in parts.values():
        assert np.abs(b.mean(axis=0)).max() < 5 / math.sqrt(300)
        assert (b * b).sum(axis=1).mean() == pytest.approx(rest, rel=0.15)
        assert (b * b).sum(axis=1).max() <= model.radius2 * (1 + 1e-4)
        assert np.abs(np.corrcoef(a.T, b.T)[:4, 4:]).max() < 0.3
    centres = np.stack([a.mean(axis=0) for a, _ in parts.values()])
    assert np.linalg.norm(centres[:, None] - centres[None], axis=-1)[~np.eye(8, dtype=bool)].min() > 0.5


@pytest.mark.parametrize("which", ["model", "refined"])
def test_a_counterfactual_differs_in_its_cell_alone(which, world, request):
    model = request.getfixturevalue(which)
    cells = TAXONOMY.cells
    sets = np.stack([model.sample_counterfactual(cells, seed) for seed in range(30)])
    a, b = model.project(sets.reshape(-1, DIM))
    a, b = a.reshape(30, 8, -1), b.reshape(30, 8, DIM)
    assert np.abs(b - b[:, :1]).max() < 1e-4
    assert np.abs(b[0, 0] - b[1, 0]).max() > 1e-1
    assert np.linalg.norm(a[:, 0] - a[:, 7], axis=1).min() > 0.5
    race, gender = world.label(sets.reshape(-1, DIM))
    read = (race.argmax(axis=1) * 2 + gender.argmax(axis=1)).reshape(30, 8)
    assert (read == np.arange(8)).mean() > 0.85


@pytest.fixture(scope="module")
def refined(world, model):
    w = world.latents(3000)
    return refine_cells(
        model, w, world.label(w), world.label, PARAMS, RefineParams(draws=60, tries=8), seed=3
    )


def test_refining_finds_more_of_the_rare_cells(world, model, refined):
    def rates(one):
        out = []
        for cell in TAXONOMY.cells:
            labels = world.label(one.sample(cell, range(10_000, 10_200), psi=0.8))
            out.append(hits(labels, TAXONOMY, cell, PARAMS).mean())
        return np.array(out)

    before, after = rates(model), rates(refined)
    assert after.mean() > before.mean() + 0.03
    assert after.min() > before.min()
    assert set(refined.strengths) == set(TAXONOMY.cells)


@pytest.mark.parametrize(
    ("rates", "enough", "expected"),
    [
        ((0.5, 0.7, 0.9), 1.0, 2.0),
        ((0.85, 0.7, 0.9), 1.0, 0.5),
        ((0.5, 0.7, 0.9), 0.65, 1.0),
        ((0.2, 0.3, 0.35), 0.65, 1.0),
    ],
)
def test_the_weakest_strength_that_is_enough_or_near_the_best_is_chosen(rates, enough, expected):
    assert _chosen(np.array(rates), RefineParams(strengths=(0.5, 1.0, 2.0), enough=enough)) == expected


def test_the_reader_foretells_the_labels(world, refined):
    w = World().latents(4000)[3000:]
    race, gender = world.label(w)
    log_race, log_gender = refined.reader.log_probabilities(refined.whiten(w))
    assert np.allclose(np.exp(log_race).sum(axis=1), 1)
    assert (log_race.argmax(axis=1) == race.argmax(axis=1)).mean() > 0.9
    assert (log_gender.argmax(axis=1) == gender.argmax(axis=1)).mean() > 0.9


def test_a_refined_model_survives_its_file_and_repeats_itself(world, model, refined, tmp_path):
    refined.save(tmp_path / "c.safetensors")
    again = CellModel.load(tmp_path / "c.safetensors")
    assert again.to_bytes() == refined.to_bytes()
    assert np.array_equal(again.sample("Black/Male", [4, 5]), refined.sample("Black/Male", [4, 5]))
    w = world.latents(3000)
    twin = refine_cells(
        model, w, world.label(w), world.label, PARAMS, RefineParams(draws=60, tries=8), seed=3
    )
    assert twin.to_bytes() == refined.to_bytes()


def test_the_first_sure_draw_is_kept_and_varies_more_than_the_likeliest(world, refined, tmp_path):
    likeliest, first = replace(refined, tries=16), replace(refined, tries=16, sure=0.6)
    one = replace(refined, tries=1)
    cell, seeds = "Black/Male", list(range(300))
    drawn = {
        name: m.sample(cell, seeds) for name, m in (("likeliest", likeliest), ("first", first), ("one", one))
    }
    rates = {name: hits(world.label(w), TAXONOMY, cell, PARAMS).mean() for name, w in drawn.items()}
    spread = {name: np.linalg.norm(refined.whiten(w).std(axis=0)) for name, w in drawn.items()}
    assert rates["one"] < rates["first"]
    assert spread["likeliest"] < spread["first"] < spread["one"] * 1.05
    scores = refined._scores(cell, refined._candidates(cell, 7, 1.0, 1.0))
    assert np.array_equal(replace(refined, sure=1e-300).sample(cell, [7]), one.sample(cell, [7]))
    assert replace(refined, sure=0.999999999)._choice(scores) == scores.argmax()
    first.save(tmp_path / "c.safetensors")
    assert CellModel.load(tmp_path / "c.safetensors").sure == 0.6
    assert b"sure" not in refined.to_bytes()


def test_screening_takes_the_first_sure_latent_of_the_generators_own(world, refined):
    pool = world.latents(6000)[3000:]
    first = replace(refined, tries=96, sure=0.6, strengths={})
    cell, starts = "Black/Male", range(0, 1920, 96)

    def screened(model, **how):
        rows = [
            model.screen(cell, (pool[k : k + 32] for k in range(start, 3000, 32)), **how) for start in starts
        ]
        return np.stack(rows)

    as_drawn = screened(first, strength=0.0)
    places = [int(np.abs(pool - w).max(axis=1).argmin()) for w in as_drawn]
    np.testing.assert_allclose(as_drawn, pool[places], atol=1e-4)
    assert all(start <= place < start + 96 for start, place in zip(starts, places, strict=True))
    scores = first._scores(cell, first.whiten(pool))
    for start, place in zip(starts, places, strict=True):
        sure = np.flatnonzero(scores[start : start + 96] >= math.log(0.6))
        assert place == start + (sure[0] if len(sure) else scores[start : start + 96].argmax())
    assert (
        hits(world.label(as_drawn), TAXONOMY, cell, PARAMS).mean()
        > hits(world.label(pool), TAXONOMY, cell, PARAMS).mean() + 0.4
    )
    likeliest = screened(replace(first, sure=1.0), strength=0.0)
    np.testing.assert_allclose(likeliest[0], pool[scores[:96].argmax()], atol=1e-4)
    np.testing.assert_allclose(screened(replace(first, reader=None), strength=0.0)[0], pool[0], atol=1e-4)


def test_screening_moves_to_the_cell_and_shrinks_to_there(world, refined):
    pool, cell = world.latents(200), "Indian/Female"
    plain = replace(refined, reader=None, strengths={})
    centre = plain.basis @ plain.cells[cell].mean
    moved = plain.whiten(plain.screen(cell, [pool], psi=0.5, strength=2.0)[None])[0]
    np.testing.assert_allclose(moved, 2 * centre + 0.5 * plain.whiten(pool[:1])[0], atol=1e-4)
    with pytest.raises(UsageError, match="Green"):
        plain.screen("Green/Male", [pool])


def test_no_rounds_leave_the_model_as_it_is(world, model):
    w = world.latents(3000)
    same = refine_cells(model, w, world.label(w), world.label, PARAMS, RefineParams(rounds=0), seed=3)
    assert same.to_bytes() == model.to_bytes()


AGED = get_taxonomy("ffpp-ages")
OLD = ("asian/Male/40-59", "white/Female/20-39")


def test_age_is_an_axis_like_the_others_and_only_what_is_asked_for_is_fitted(world, tmp_path):
    mixing = np.linalg.inv(world.mixing)
    direction = np.linalg.qr(np.concatenate([world.race, world.gender[:, None]], 1), mode="complete")[0][:, 5]

    def label(w):
        y = (unfold(w, "p") - 0.2) @ mixing.T @ direction
        age = -((3 * y[:, None] + 1.5 - np.arange(4)) ** 2)
        age = np.exp(age - age.max(axis=1, keepdims=True))
        return (*world.label(w), (age / age.sum(axis=1, keepdims=True)).astype(np.float32))

    params = CellParams(min_age_prob=0.4, min_latents=15)
    w = world.latents(3000)
    fitted = fit_cells(w, label(w), AGED, params, cells=OLD)
    assert list(fitted.cells) == [cell for cell in AGED.cells if cell in OLD]
    assert fitted.basis.shape == (DIM, 3 + 1 + 3)
    refined = refine_cells(fitted, w, label(w), label, params, RefineParams(rounds=1, draws=30), seed=1)
    refined.save(tmp_path / "aged.safetensors")
    again = CellModel.load(tmp_path / "aged.safetensors")
    assert again.to_bytes() == refined.to_bytes()
    for cell in OLD:
        drawn = label(again.sample(cell, range(100), psi=0.8))
        rate, chance = hits(drawn, AGED, cell, params).mean(), refined.shares[cell]
        assert rate > max(0.6, 5 * chance), (cell, rate)
    with pytest.raises(UsageError, match="asian/Female/0-19: are not in the cell model"):
        again.sample("asian/Female/0-19", [1])
    with pytest.raises(UsageError, match="labels of 2 axes"):
        fit_cells(w, world.label(w), AGED, params)
    with pytest.raises(GateError, match=r"white/Male/60\+ has") as caught:
        fit_cells(w, label(w), AGED, CellParams(min_latents=400), cells=["white/Male/60+"])
    assert "dataset.only" in caught.value.fix


def test_a_draw_depends_on_its_seed_alone(model):
    seeds = [9, 3, 7, 2**62]
    together = model.sample("Black/Female", seeds)
    assert together.dtype == np.float32
    for k, seed in enumerate(seeds):
        assert np.array_equal(model.sample("Black/Female", [seed])[0], together[k])
    assert model.sample("Black/Female", []).shape == (0, DIM)


def test_psi_pulls_to_the_cells_own_mean(model):
    calm, _ = model.project(model.sample("Black/Female", range(50), psi=0.0))
    assert np.allclose(calm, model.cells["Black/Female"].mean, atol=1e-4)


def test_strength_moves_the_cell_away_from_the_mean_of_all(model):
    (one, rest), (strong, same) = (
        model.project(model.sample("Black/Female", range(5), strength=s)) for s in (1.0, 1.5)
    )
    assert np.allclose(strong - one, 0.5 * model.cells["Black/Female"].mean, atol=1e-4)
    assert np.allclose(rest, same, atol=1e-4)


def test_same_input_same_model(world, model):
    w = world.latents(3000)
    again = fit_cells(
        w, world.label(w), TAXONOMY, PARAMS, generator_sha256="a" * 64, attributes_sha256="b" * 64
    )
    assert again.to_bytes() == model.to_bytes()


def test_file_round_trip(model, tmp_path):
    rated = model.with_hit_rates({"White/Male": 0.75})
    rated.save(tmp_path / "one.safetensors")
    again = CellModel.load(tmp_path / "one.safetensors")
    assert again.to_bytes() == rated.to_bytes()
    assert again.sha256 == rated.sha256 != model.sha256
    assert again.hit_rates == {"White/Male": 0.75}
    assert (again.taxonomy, again.generator_sha256, again.attributes_sha256) == (
        "fairface4",
        "a" * 64,
        "b" * 64,
    )
    assert again.counts == model.counts
    for cell in TAXONOMY.cells:
        assert np.array_equal(again.sample(cell, [1, 2]), model.sample(cell, [1, 2]))


def test_bad_files_are_named(model, tmp_path):
    path = tmp_path / "cells.safetensors"
    with pytest.raises(MissingError):
        CellModel.load(path)
    data = model.to_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"cells\.safetensors"):
        CellModel.load(path)
    path.write_bytes(data.replace(b"fairforge-cells-3", b"fairforge-cells-9"))
    with pytest.raises(DataError, match="cells-9"):
        CellModel.load(path)
    path.write_bytes(data.replace(b"White/Male", b"White/Mole"))
    with pytest.raises(DataError, match="not those of taxonomy"):
        CellModel.load(path)


def test_starved_cells_are_named_with_their_count(world):
    w = world.latents(150)
    race, gender = world.label(w)
    counted = confident_cells((race, gender), TAXONOMY, CellParams())
    few = int((counted == 7).sum())
    with pytest.raises(GateError, match=f"Indian/Female has {few}") as caught:
        fit_cells(w, (race, gender), TAXONOMY)
    assert caught.value.exit_code == 4
    assert "draw more latents" in caught.value.fix


def test_keep_most_takes_the_surest(world):
    race, gender = world.label(world.latents(1000))
    every = confident_cells((race, gender), TAXONOMY, CellParams())
    some = confident_cells((race, gender), TAXONOMY, CellParams(keep_most=10))
    joint = race.max(axis=1) * gender.max(axis=1)
    for index in range(8):
        kept, left = joint[some == index], joint[(every == index) & (some == -1)]
        assert len(kept) == min(10, (every == index).sum())
        assert kept.min() >= left.max(initial=0)


def test_wrong_input_is_refused(world, model):
    w = world.latents(50)
    race, gender = world.label(w)
    with pytest.raises(UsageError, match=r"race_prob \[50, 3\]"):
        fit_cells(w, (race[:, :3], gender), TAXONOMY)
    with pytest.raises(UsageError, match="not finite"):
        fit_cells(np.full_like(w, np.nan), (race, gender), TAXONOMY)
    with pytest.raises(UsageError, match="did you mean"):
        model.sample("White/Mal", [1])


def test_mixture_density_equals_scipy_and_trimming_holds():
    means = np.array([[0.0, 0.0], [4.0, 1.0]])
    factors = np.array([[[1.0, 0], [0.5, 1.0]], [[0.5, 0], [0, 2.0]]])
    mixture = Mixture(np.array([0.3, 0.7]), means, factors)
    x = np.random.default_rng(0).standard_normal((20, 2)) * 3
    parts = [multivariate_normal(m, f @ f.T).pdf(x) for m, f in zip(means, factors, strict=True)]
    assert np.allclose(mixture.log_density(x), np.log(0.3 * parts[0] + 0.7 * parts[1]))
    trimmed = mixture.trimmed(0.2)
    rng = rng_of(1, "draws")
    cut = np.stack([trimmed.draw(rng) for _ in range(500)])
    assert mixture.log_density(cut).min() >= trimmed.threshold
    free = np.stack([mixture.draw(rng) for _ in range(2000)])
    assert (mixture.log_density(free) < trimmed.threshold).mean() == pytest.approx(0.2, abs=0.04)


def test_bic_finds_the_number_of_clusters():
    rng = np.random.default_rng(0)
    one = rng.standard_normal((300, 2))
    two = np.concatenate([one - 5, rng.standard_normal((300, 2)) + 5])
    settings = {"max_components": 4, "prior": np.eye(2), "prior_count": 5.0}
    assert len(fit_mixture(one, **settings).weights) == 1
    fitted = fit_mixture(two, **settings)
    assert len(fitted.weights) == 2
    assert np.allclose(sorted(fitted.means[:, 0]), [-5, 5], atol=0.3)
