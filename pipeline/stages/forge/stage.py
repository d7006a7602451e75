"""Stage `forge`: fakes of every accepted face by every method, lossless, with mask, target, source and
driver.

Who gives identity or motion is drawn among the faces of the same cell, origin and split, never the target
itself; see `pipeline.stages.forge.partners`. Where generated faces are fakes themselves
(`dataset.generated_as`), nothing is forged of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from manifests.atomic import digest_file, write_json
from manifests.errors import UsageError
from manifests.schema import PHOTOGRAPH, SYNTHETIC
from manifests.seeding import rng_of
from manifests.store import read_table, write_table
from pipeline.engine.config import Config
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.shards import Task, read_shards
from pipeline.engine.stage import Context, Outcome, Stage, face_reader_weights
from pipeline.engine.stages import STAGES
from pipeline.stages.forge.directions import directions_weights, ensure_directions
from pipeline.stages.forge.fakes import Fake, fakes_of
from pipeline.stages.forge.making import FaceModels, Forging, Item, Target, forge_fakes
from pipeline.stages.forge.partners import Partners
from pipeline.stages.verify.faces import read_accepted

if TYPE_CHECKING:
    pass

NOT_READ = ("race_probs", "sha256", "seed", "psi", "licence", "consent", "dataset", "counterfactual_id")
"""Columns of the accepted faces that no forgery needs."""


def accepted_faces(run: RunDirectory, latents: bool = False) -> list[Target]:
    """The accepted faces that are real images, by image_id, with what a forgery and its gates need; their
    latents where asked for.
    """
    faces = read_accepted(run.folder("verify") / "faces.parquet", NOT_READ)
    known: dict[str, list[float] | None] = {}
    if latents:
        drawn = read_table(run.folder("sample") / "candidates.parquet").select(["image_id", "w"])
        known = dict(zip(*(drawn.column(name).to_pylist() for name in ("image_id", "w")), strict=True))
    return [Target(face, known.get(face.image_id)) for face in faces if face.origin in run.config.origins]


def gate_figures(fakes: Sequence[Fake]) -> dict[str, dict[str, Any]]:
    """Per method: attempted, accepted, refusals by reason (of whole fakes and of single tries), means of the
    figures; as `gates.json` has them.
    """
    out: dict[str, dict[str, Any]] = {}
    for method in sorted({fake.method for fake in fakes}):
        mine = [fake for fake in fakes if fake.method == method]
        good = [fake for fake in mine if fake.accepted]
        figures: dict[str, Any] = {}
        for name in ("mask_share", "seam", "to_target", "to_other", "transferred"):
            values = [value for fake in good if (value := getattr(fake, name)) is not None]
            figures[name] = round(float(np.mean(values)), 4) if values else None
        reasons = Counter(str(fake.reason) for fake in mine if not fake.accepted)
        tries = Counter(reason for fake in mine for reason in fake.refused or ())
        out[method] = {
            "attempted": len(mine),
            "accepted": len(good),
            "figures": figures,
            "rejected": dict(sorted(reasons.items())),
            "refused_tries": dict(sorted(tries.items())),
        }
    return out


def _models(config: Config) -> FaceModels:
    verify = config.verify
    return FaceModels(verify.face_detector, verify.landmarker, verify.identity_model, verify.min_face_score)


@STAGES.register("forge")
class ForgeStage(Stage):
    """Every method on every accepted face; methods held out for testing on the test split alone."""

    name = "forge"
    after = "verify"
    version = 7
    needs = ("sample", "verify")

    def check(self, run: RunDirectory) -> None:
        latent = self._methods_with(run, "latent") if PHOTOGRAPH in run.config.origins else []
        if latent:
            raise UsageError(
                f"forge.methods {', '.join(latent)}",
                "need the latent that a face was made from, which photographs have not",
                "leave them out, or set sample.source = generator",
            )

    def config(self, run: RunDirectory) -> dict[str, Any]:
        directions = [run.config.cells.generator] if self._fits_directions(run) else []
        return {
            "forge": run.config.forge.model_dump(),
            "verify": asdict(_models(run.config)),
            "directions": directions,
            "origins": run.config.origins,
        }

    def weights(self, run: RunDirectory) -> dict[str, str]:
        fitted = directions_weights(run.config) if self._fits_directions(run) else {}
        return fitted | (face_reader_weights(run.config) if run.config.forge.gates else {})

    def files(self, run: RunDirectory) -> dict[str, str]:
        """Digests of the weights that the methods' parameters name (a missing file is said when the stage
        starts).
        """
        from generators.forgeries.weight_digests import weight_digests

        forge = run.config.forge
        found = {
            f"{method}.{name}": digest
            for method in (*forge.methods, *forge.held_out)
            for name, digest in weight_digests(method, forge.params.get(method)).items()
        }
        given = {
            f"{method}.directions": forge.params.get(method, {}).get("directions", "")
            for method in self._methods_with(run, "directions")
        }
        return found | {
            name: digest_file(path) for name, path in given.items() if path and Path(path).is_file()
        }

    def _methods_with(self, run: RunDirectory, fact: str) -> list[str]:
        """The methods of this run whose entry has `fact`."""
        from generators.forgeries import FORGERIES

        forge = run.config.forge
        return [name for name in (*forge.methods, *forge.held_out) if FORGERIES.get(name).facts[fact]]

    def _fits_directions(self, run: RunDirectory) -> bool:
        return bool(self._methods_with(run, "directions")) and SYNTHETIC in run.config.origins

    def _params(self, context: Context) -> dict[str, dict[str, Any]]:
        """The methods' parameters, with the file of latent directions where one is wanted and none is
        given.
        """
        params = context.config.forge.params
        if not self._fits_directions(context.run):
            return params
        wanting = [
            m
            for m in self._methods_with(context.run, "directions")
            if not params.get(m, {}).get("directions")
        ]
        path = str(ensure_directions(context, self.folder(context.run))) if wanting else ""
        return params | {method: {**params.get(method, {}), "directions": path} for method in wanting}

    def items(self, run: RunDirectory) -> list[Item]:
        """Each target with each method."""
        from generators.forgeries import FORGERIES

        forge, seed = run.config.forge, run.config.run.seed
        targets = accepted_faces(run, latents=bool(self._methods_with(run, "latent")))
        partners = Partners([target.face for target in targets])
        by_id = {target.image_id: target for target in targets}
        items = []
        for method in [*forge.methods, *forge.held_out]:
            facts = FORGERIES.get(method).facts
            uses = facts["uses"] != "none"
            for target in targets:
                if method in forge.held_out and target.face.split != "test":
                    continue
                rng = rng_of(seed, "forge", method, target.image_id)
                drawn = (
                    partners.draw(target.face, rng, facts["partner"], facts["moves"], forge.tries)
                    if uses
                    else []
                )
                seconds = tuple(by_id[face.image_id] for face in drawn)
                items.append(Item(method, target, uses, seconds, int(rng.integers(2**62))))
        return items

    def forging(self, context: Context) -> Forging:
        """What every shard is told but its items; latent directions are fitted where they are wanted."""
        config = context.config
        return Forging(
            section=config.forge,
            params=self._params(context),
            seed=config.run.seed,
            models=_models(config),
            device=config.execute.device,
            sample_folder=context.run.folder("sample"),
        )

    def tasks(self, context: Context, key: str) -> list[Task]:
        from generators.forgeries import get

        run, forge = context.run, context.config.forge
        for method in (*forge.methods, *forge.held_out):
            get(method)(forge.params.get(method))  # what is missing is said before any fake is made
        self.check(run)
        items, forging = self.items(run), self.forging(context)
        return [
            Task(
                self.name,
                number,
                self.folder(run),
                key,
                forge_fakes,
                replace(forging, items=tuple(items[start : start + forge.shard_size])),
            )
            for number, start in enumerate(range(0, len(items), forge.shard_size))
        ]

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        table = read_shards(self.folder(context.run), len(tasks)).sort_by("image_id")
        path, gates = self.folder(context.run) / "fakes.parquet", self.folder(context.run) / "gates.json"
        write_table(table, path)
        figures = gate_figures(fakes_of(table))
        write_json(gates, figures)
        accepted = sum(figure["accepted"] for figure in figures.values())
        return Outcome([path, gates], {"fakes": accepted, "attempted": table.num_rows})
