"""The sections of what comes after the dataset: audit, cross, evaluate, release, report."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from detector.training.settings import THRESHOLD
from manifests.dates import iso_date
from manifests.release.withdrawal import Withdrawn
from pipeline.engine.config_section import Count, Section, check_names, check_params

DEFAULT_AUDITS = ("balance", "duplicates", "leaks", "shortcut")
"""Known without their registry, which brings scikit-learn."""


class AuditSection(Section):
    """Which audits, with which limits."""

    audits: tuple[str, ...] = Field(
        DEFAULT_AUDITS, description="Audits of the dataset: see `fairforge list audits`."
    )
    params: dict[str, dict[str, Any]] = Field(
        {}, description="Limits of an audit, by its name: [audit.params.NAME]."
    )

    @field_validator("audits")
    @classmethod
    def _registered(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if set(names) - set(DEFAULT_AUDITS):
            from manifests.audit import AUDITS

            check_names(AUDITS, names)
        return names

    @field_validator("params")
    @classmethod
    def _taken(cls, params: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        if params:
            from manifests.audit import AUDITS

            check_params(AUDITS, params)
        return params


class CrossSection(Section):
    """The second dataset, of another origin: photographs where there are some, else another synthetic set."""

    source: Literal["auto", "none", "generator"] = Field(
        "auto",
        description=(
            "auto: photographs where there are some, else the generator that the run uses, if any; generator:"
            " always that; none: no second dataset."
        ),
    )
    photographs: str = Field(
        "",
        description=(
            "Photographs, as `sample.photographs` names them; empty: $FAIRFORGE_DATA/fairface128/dev.parquet"
            " where it is there."
        ),
    )
    per_cell: Annotated[int, Field(ge=1)] = Field(24, description="Identities per cell.")
    seed_shift: Annotated[int, Field(ge=1)] = Field(1, description="Added to `run.seed`.")
    psi: Annotated[float, Field(gt=0.0, le=2.0)] = Field(
        0.9, description="`sample.psi` of a synthetic second dataset."
    )
    codec: Literal["jpeg", "webp", "png"] = Field("webp", description="Of every image, real and fake.")
    quality: tuple[Annotated[int, Field(ge=1, le=100)], Annotated[int, Field(ge=1, le=100)]] = Field(
        (70, 90), description="Lowest and highest of the quality draw, one per pair."
    )


class EvaluateSection(Section):
    """Threshold policy and how fairness is measured."""

    threshold: str = Field(
        "fixed",
        description=(
            "Called fake from here on: fixed (0.5), a number, or val-eer and val-fpr@0.05 by validation"
            " scores."
        ),
    )
    mode: Literal["corrected", "purdue"] = Field(
        "corrected", description="The metrics as corrected here, or as published."
    )
    replicates: Annotated[int, Field(ge=10, le=100_000)] = Field(
        500, description="Data sets drawn for the intervals of gaps, and permutations."
    )
    ties: Literal["mid", "random"] = Field(
        "random",
        description=(
            "What a tie counts in tests and intervals of gaps: random, a share drawn from scores and run.seed"
            " (an exact level; half where no gap is found); mid, a half."
        ),
    )
    min_n: Count = Field(5, description="Fewest identities or videos of a group that takes part in a gap.")
    floors: tuple[Literal["linear-probe", "previous"], ...] = Field(
        ("linear-probe", "previous"),
        description=(
            "What stands below the detector in every table beside the constant predictor: a linear probe on"
            " frozen ImageNet features, fitted to the training split, and the detector before this one."
        ),
    )
    previous: str = Field(
        "",
        description=(
            "The detector before this one, a checkpoint, its folder or its name; empty: it is left out of the"
            " tables, which say so."
        ),
    )

    @field_validator("threshold")
    @classmethod
    def _policy(cls, value: str) -> str:
        if not re.match(THRESHOLD, value):
            raise ValueError("is not known; give a number in [0, 1], fixed, val-eer, or val-fpr@0.05")
        return value


class ReleaseSection(Section):
    """Who gives the dataset away, and under which terms."""

    name: str = Field("FairForge demo", description="Of the dataset.")
    version: str = Field("0.1.0", description="Of the dataset.")
    date: str = Field(
        "", description="Of publication, as given here, never the clock's; empty: none is said."
    )
    creators: tuple[str, ...] = Field(("FairForge maintainers",), description="Who made the dataset.")
    licence: str = Field("CC BY 4.0", description="Of the dataset; check what the weights' licences ask.")
    description: str = Field(
        "Balanced real/fake faces: synthetic faces of every perceived race x gender cell, and forgeries "
        "made of them.",
        description="Of the dataset, for its card.",
    )
    citation: str = Field(
        "", description="How to cite the dataset; empty: made of name, version and creators."
    )
    url: str = Field("", description="Where the dataset is.")
    contact: str = Field("", description="Where one asks to have an image taken out: an address or a page.")
    withdrawn: Withdrawn = Field(
        (),
        description=(
            "Images or identities that are left out, with all that was forged of them, and stay named: `ID`"
            " or `ID: why`."
        ),
    )
    sign: tuple[str, ...] = Field(
        (),
        description=(
            "Certificate (with its issuers) and key, two PEM files: the images are signed (C2PA), real and"
            " fake alike. Empty: they are not."
        ),
    )

    _iso = field_validator("date")(iso_date)

    @field_validator("sign")
    @classmethod
    def _pair(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) not in (0, 2):
            raise ValueError("give two files, certificate and key, or none")
        return value


class ReportSection(Section):
    """The HTML page."""

    columns: Annotated[int, Field(ge=1, le=32)] = Field(
        6, description="Identities per cell on the contact sheet."
    )
    errors: Annotated[int, Field(ge=0, le=32)] = Field(
        3,
        description=(
            "False positives and misses per cell on the error sheets, the worst first; 0 leaves the sheets"
            " out."
        ),
    )
