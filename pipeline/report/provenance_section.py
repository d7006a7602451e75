"""The last section: digests of the stages, weights with their licences, the resolved configuration, how to
cite.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tomli_w

from attribute_models.registry import ATTRIBUTE_MODELS
from generators.forgeries import FORGERIES
from manifests.registry import Registry
from manifests.weights import Weight, catalogue
from pipeline.engine.shown_config import shown_values
from pipeline.report.markup import Html, join, paragraphs, tag
from pipeline.report.run_files import RELEASE_SUMS, TRAINING, RunFiles, marker_file
from pipeline.report.tables import Column, Section, simple_table, source

SOFTWARE = (
    "FairForge maintainers. FairForge: demographically balanced, verified real/fake face datasets and fair"
    " deepfake detectors. Software, Apache-2.0."
)
BUILT_IN = ("face_detector", "identity_model")


def shown_config(files: RunFiles) -> str:
    """The resolved configuration as TOML, without [execute] and without folders."""
    return tomli_w.dumps(shown_values(files.run.config))


def _code(value: object) -> Html:
    return tag("code", value, class_="digest")


def _stages(files: RunFiles) -> Html:
    rows = [[stage, _code(marker["digest"])] for stage, marker in files.markers.items()]
    columns = [Column("stage", figures=False), Column("sha256 over its outputs", figures=False)]
    return simple_table("Digests of the stages", columns, rows, [marker_file("*")])


def used_weights(files: RunFiles) -> dict[str, list[str]]:
    """sha256 of every weight -> where it was used, as `stage: purpose`."""
    found: dict[str, list[str]] = {}
    for stage, marker in files.markers.items():
        for purpose, sha256 in marker.get("parts", {}).get("weights", {}).items():
            found.setdefault(sha256, []).append(f"{stage}: {purpose.replace('_', ' ')}")
    return found


def _weights(files: RunFiles) -> Html:
    known: Mapping[str, Weight] = {weight.sha256: weight for weight in catalogue().values()}
    rows: list[list[object]] = []
    for sha256, uses in sorted(used_weights(files).items(), key=lambda item: item[1]):
        weight = known.get(sha256)
        name = weight.name if weight else "not in the catalogue"
        rows.append(
            [
                name,
                "; ".join(uses),
                weight.licence if weight else "unknown",
                weight.data if weight else "unknown",
                _code(sha256),
            ]
        )
    made = files.training.get("sha256", {}).get("checkpoint")
    if made:
        rows.append(
            [
                "detector",
                "evaluate: made by this run",
                "not given",
                "the train split of this run",
                _code(made),
            ]
        )
    verify = files.run.config.verify.model_dump()
    for purpose in BUILT_IN:
        name = str(verify[purpose])
        licence = _fact(ATTRIBUTE_MODELS, name, "licence")
        rows.append(
            [
                name,
                f"verify: {purpose.replace('_', ' ')}",
                licence or "unknown",
                "see the package that brings it",
                "comes with its package",
            ]
        )
    columns = [
        Column(title, figures=False) for title in ("weight", "used by", "licence", "trained on", "sha256")
    ]
    return simple_table("Weights used", columns, rows, [marker_file("*"), TRAINING])


def _fact(registry: Registry[Any], name: str, fact: str) -> str:
    return str(getattr(registry.get(name), fact)) if name in registry.names() else ""


def _citations(files: RunFiles) -> Html:
    release = files.run.config.release
    issue = f"version {release.version}" + (f", {release.date}" if release.date else "")
    title = f"{', '.join(release.creators)}. {release.name}, {issue}."
    own = release.citation or title
    own += f" {release.url}" if release.url and release.url not in own else ""
    papers = [(name, _fact(FORGERIES, name, "paper")) for name in files.methods]
    models = files.run.config.verify.model_dump()
    papers += [(str(models[p]), _fact(ATTRIBUTE_MODELS, str(models[p]), "paper")) for p in BUILT_IN]
    items = [
        tag("li", tag("strong", "This dataset: "), own, f" Licence: {release.licence}."),
        tag("li", tag("strong", "The program: "), SOFTWARE),
    ]
    items += [tag("li", tag("strong", f"{name}: "), paper) for name, paper in papers if paper]
    data = sorted({w.data for w in catalogue().values() if w.sha256 in used_weights(files) and w.data})
    items += [tag("li", tag("strong", "Training data of the weights: "), line) for line in data]
    return tag("ul", *items)


def provenance(files: RunFiles) -> Section:
    """What the run was made of, so that another lab can make it again and cite it."""
    marker = files.markers["release"]
    sums = marker.get("outputs", {}).get("data/SHA256SUMS")
    sentence = join(
        [
            "The dataset to give away is in ",
            tag("code", "release/data"),
            "; its list of checksums has sha256 ",
            _code(sums) if sums else "unknown",
            ".",
        ]
    )
    released = join([paragraphs(sentence), source(RELEASE_SUMS, marker_file("release"))])
    config = tag(
        "details",
        tag("summary", "Resolved configuration"),
        paragraphs(
            "Every key of the run. How it was executed (workers, device) is left out, since the result is the"
            " same, and paths are cut to the file's name."
        ),
        tag("pre", tag("code", shown_config(files)), tabindex=0),
        source("config.toml"),
        open=False,
    )
    return Section(
        "provenance",
        "Provenance",
        join(
            [
                _stages(files),
                tag("h3", "Release"),
                released,
                tag("h3", "Weights"),
                _weights(files),
                tag("h3", "Configuration"),
                config,
                tag("h3", "How to cite"),
                _citations(files),
            ]
        ),
    )
