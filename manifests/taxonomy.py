"""Taxonomies of perceived race and gender, as data, and how one maps to another.

The words are those of the datasets they come from. They describe how a face is *perceived* by annotators or
by a classifier; they say nothing about how a person identifies. Sources: FairFace (Kärkkäinen & Joo, WACV
2021) for `fairface7` and its common 4-group merge `fairface4`; Xu et al. (arXiv 2208.05845) for `ffpp`; the
Monk Skin Tone scale as AI-Face groups it (light 1-3, medium 4-6, dark 7-10) for `monk3`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from manifests.errors import UsageError
from manifests.registry import nearest

GENDERS = ("Male", "Female")
AGES = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70")

AGE_BINS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "0-19": ("0-2", "3-9", "10-19"),
        "20-39": ("20-29", "30-39"),
        "40-59": ("40-49", "50-59"),
        "60+": ("60-69", "more than 70"),
    }
)
"""The bins of taxonomies with an age axis, and the age bands that each holds."""
AGED = "-ages"
"""Ending of the name of a taxonomy whose cells have perceived age as a third part."""


@dataclass(frozen=True)
class Taxonomy:
    """Races in a fixed order, and maps into other taxonomies (a missing key: it cannot be mapped).

    `maps[other][race]` is the race in `other`, or None where the source race straddles several. `ages` are
    bins of `AGE_BINS`, or empty: then cells are race x gender only.
    """

    name: str
    races: tuple[str, ...]
    maps: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    note: str = ""
    genders: tuple[str, ...] = GENDERS
    ages: tuple[str, ...] = ()

    @property
    def root(self) -> str:
        """Name of the taxonomy with the same races and no age axis."""
        return self.name.removesuffix(AGED)

    @property
    def axes(self) -> dict[str, tuple[str, ...]]:
        """What a cell is made of: axis (`race`, `gender`, perhaps `age`) -> its classes, in the order of a
        cell's name.
        """
        axes = {"race": self.races, "gender": self.genders}
        return {**axes, "age": self.ages} if self.ages else axes

    @property
    def cells(self) -> tuple[str, ...]:
        """All cells, `race/gender` or `race/gender/age`, races outermost."""
        return tuple("/".join(parts) for parts in product(*self.axes.values()))

    def cell(self, race: str | None, gender: str | None, age: str | None = None) -> str | None:
        """The cell's name, or None when a part that it needs is unknown to this taxonomy. `age`: a band or a
        bin.
        """
        if race not in self.races or gender not in self.genders:
            return None
        if not self.ages:
            return f"{race}/{gender}"
        age_bin = self.age_bin(age)
        return None if age_bin is None else f"{race}/{gender}/{age_bin}"

    def age_bin(self, age: str | None) -> str | None:
        """The bin of this taxonomy that holds the age band `age` (or is it), or None."""
        return next((name for name in self.ages if age == name or age in AGE_BINS[name]), None)

    def parts(self, cell: str) -> dict[str, str]:
        """Axis -> class of a cell's name.

        Raises:
            UsageError: not a cell of this taxonomy.
        """
        if cell not in self.cells:
            raise UsageError(
                f"cell {cell!r}",
                f"is not in taxonomy {self.name}{nearest(cell, list(self.cells))}",
                f"choose among: {', '.join(self.cells)}",
            )
        return dict(zip(self.axes, cell.split("/"), strict=True))

    def split_cell(self, cell: str) -> tuple[str, str]:
        """`(race, gender)` of a cell's name.

        Raises:
            UsageError: not a cell of this taxonomy.
        """
        parts = self.parts(cell)
        return parts["race"], parts["gender"]

    def find_cell(self, text: str) -> str:
        """The cell meant by `text`: its name, or its name with `-` for `/` (`Black-Female`).

        Raises:
            UsageError: not a cell of this taxonomy.
        """
        found = [cell for cell in self.cells if text in (cell, cell.replace("/", "-"))]
        if not found:
            self.parts(text)
        return found[0]

    def map_race(self, race: str | None, to: str) -> str | None:
        """`race` in the taxonomy called `to`, or None where it cannot be mapped.

        Raises:
            UsageError: there is no map from this taxonomy to `to` at all.
        """
        to = to.removesuffix(AGED)
        if to == self.root:
            return race if race in self.races else None
        if to not in self.maps:
            raise UsageError(
                f"taxonomy {self.name}",
                f"cannot be mapped to {to}",
                f"it maps to: {', '.join(self.maps) or 'none'}",
            )
        return None if race is None else self.maps[to].get(race)

    def aggregate(self, probabilities: npt.NDArray[np.float32], to: str) -> npt.NDArray[np.float32]:
        """Class probabilities of this taxonomy summed into those of `to`.

        Args:
            probabilities: float32 [N, len(self.races)], rows sum to 1.

        Returns:
            float32 [N, len(to.races)]; mass of races without a counterpart is dropped, so rows may sum to
            less than 1.
        """
        target = get_taxonomy(to)
        out = np.zeros((len(probabilities), len(target.races)), np.float32)
        for column, race in enumerate(self.races):
            mapped = self.map_race(race, to)
            if mapped is not None:
                out[:, target.races.index(mapped)] += probabilities[:, column]
        return out

    def bin_ages(
        self, probabilities: npt.NDArray[np.float32], bands: Sequence[str]
    ) -> npt.NDArray[np.float32]:
        """Probabilities of age bands summed into this taxonomy's bins.

        Args:
            probabilities: float32 [N, len(bands)].
            bands: the band of each column, names of `AGES`.

        Returns:
            float32 [N, len(self.ages)].
        """
        out = np.zeros((len(probabilities), len(self.ages)), np.float32)
        for column, band in enumerate(bands):
            found = self.age_bin(band)
            if found is not None:
                out[:, self.ages.index(found)] += probabilities[:, column]
        return out


def _freeze(maps: dict[str, dict[str, str | None]]) -> Mapping[str, Mapping[str, str | None]]:
    return MappingProxyType({name: MappingProxyType(table) for name, table in maps.items()})


_FAIRFACE7 = (
    "White",
    "Black",
    "Latino_Hispanic",
    "East Asian",
    "Southeast Asian",
    "Indian",
    "Middle Eastern",
)

_RACES_AND_GENDERS = {
    "fairface7": Taxonomy(
        "fairface7",
        _FAIRFACE7,
        _freeze(
            {
                "fairface4": {
                    "White": "White",
                    "Middle Eastern": "White",
                    "Latino_Hispanic": "White",
                    "Black": "Black",
                    "East Asian": "Asian",
                    "Southeast Asian": "Asian",
                    "Indian": "Indian",
                },
                "ffpp": {
                    "White": "white",
                    "Black": "black",
                    "East Asian": "asian",
                    "Southeast Asian": "asian",
                    "Indian": "others",
                    "Middle Eastern": "others",
                    "Latino_Hispanic": "others",
                },
            }
        ),
        "FairFace's seven perceived races.",
    ),
    "fairface4": Taxonomy(
        "fairface4",
        ("White", "Black", "Asian", "Indian"),
        _freeze({"ffpp": {"White": None, "Black": "black", "Asian": "asian", "Indian": "others"}}),
        "FairFace's own 4-group merge: White holds White, Middle Eastern and Latino_Hispanic.",
    ),
    "ffpp": Taxonomy(
        "ffpp",
        ("asian", "white", "black", "others"),
        _freeze({"fairface4": {"asian": "Asian", "white": "White", "black": "Black", "others": None}}),
        "Annotations of Xu et al. for FF++, DFD, DFDC: others = none of the three.",
    ),
    "monk3": Taxonomy(
        "monk3",
        ("light", "medium", "dark"),
        _freeze({}),
        "Monk skin tone 1-3, 4-6, 7-10. Skin tone is not race: there is no map to the others.",
    ),
}


def _with_ages(taxonomy: Taxonomy) -> Taxonomy:
    note = f"{taxonomy.note} With four bins of perceived age: {', '.join(AGE_BINS)}."
    return replace(taxonomy, name=f"{taxonomy.name}{AGED}", note=note, ages=tuple(AGE_BINS))


TAXONOMIES: Mapping[str, Taxonomy] = MappingProxyType(
    {
        **_RACES_AND_GENDERS,
        **{
            f"{name}{AGED}": _with_ages(_RACES_AND_GENDERS[name])
            for name in ("fairface4", "fairface7", "ffpp")
        },
    }
)


def get_taxonomy(name: str) -> Taxonomy:
    """The taxonomy called `name`.

    Raises:
        UsageError: unknown name.
    """
    if name not in TAXONOMIES:
        names = list(TAXONOMIES)
        raise UsageError(
            f"taxonomy {name!r}", f"is not known{nearest(name, names)}", f"choose one of: {', '.join(names)}"
        )
    return TAXONOMIES[name]
