"""A simulated world whose directions of race and gender are known, for tests of cells."""

import numpy as np

from generators.cells import CellParams
from generators.cells.model import fold, unfold
from manifests.taxonomy import get_taxonomy

TAXONOMY = get_taxonomy("fairface4")
DIM = 16
PARAMS = CellParams(min_race_prob=0.9, min_gender_prob=0.9)


class World:
    """Correlated latents; race and gender are linear in the unfolded latent, White is frequent, Indian is
    rare.
    """

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        mixing = rng.standard_normal((DIM, DIM)) * np.linspace(1.5, 0.3, DIM)
        axes = np.linalg.qr(rng.standard_normal((DIM, 5)))[0]
        self.mixing, self.race, self.gender = mixing, axes[:, :4], axes[:, 4]
        self.bias = np.array([3.0, 0.0, 0.0, -2.0])

    def latents(self, n: int) -> np.ndarray:
        y = np.random.default_rng(1).standard_normal((n, DIM))
        return fold(y @ self.mixing.T + 0.2, "p").astype(np.float32)

    def label(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        y = np.linalg.solve(self.mixing, (unfold(w, "p") - 0.2).T).T
        race = 5 * (y @ self.race) + self.bias
        race = np.exp(race - race.max(axis=1, keepdims=True))
        male = 1 / (1 + np.exp(-8 * (y @ self.gender)))
        gender = np.stack([male, 1 - male], axis=1)
        return (race / race.sum(axis=1, keepdims=True)).astype(np.float32), gender.astype(np.float32)
