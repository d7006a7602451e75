"""Stage `verify`: is each candidate one clear face, perceived as its cell, and a new identity? Landmarks come
along.

Every candidate has a row with a status and a reason: `no_face`, `two_faces`, `small_face` (a photograph that
is no crop of a face), `blurred`, `low_confidence`, `models_disagree` (where a policy names a second model),
`wrong_cell`, `other_cell` (a photograph without annotation, perceived as a cell that is not wanted),
`near_training` (where an index of training faces is given), and, decided over all shards,
`duplicate_picture`, `duplicate_identity` and `surplus` (the cell was full).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from manifests.atomic import digest_file, write_json
from manifests.columns import with_values
from manifests.errors import GateError, MissingError, UsageError
from manifests.schema import PHOTOGRAPH
from manifests.splits import assign_splits
from manifests.store import row_count, write_table
from manifests.taxonomy import get_taxonomy
from pipeline.engine import models
from pipeline.engine.config import Config
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.shards import Task, read_shards
from pipeline.engine.stage import Context, Outcome, Stage, face_reader_weights, weight_digest
from pipeline.engine.stages import STAGES
from pipeline.engine.strata import NO_CELL, stratum_name
from pipeline.stages.sample.stage import quotas
from pipeline.stages.verify.faces import LOOK, VerifiedFace, faces_of
from pipeline.stages.verify.judging import Judging, verify_candidates
from pipeline.stages.verify.selection import refuse_copies, settle
from pipeline.stages.verify.verifier import checked_policy, second_model, verifier_figures


def acceptance(
    faces: Sequence[VerifiedFace], cells: Sequence[str], origins: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Per cell (`White/Male`) and, where there are several origins, origin (`White/Male, photograph`):
    attempted, accepted, and how many were rejected for each reason. Photographs that were refused before
    their cell was known are under `NO_CELL`.
    """
    groups = {
        stratum_name(cell, origin, origins): [face for face in faces if face.stratum == (cell, origin)]
        for cell in cells
        for origin in origins
    }
    bare = [face for face in faces if face.is_photograph and face.cell not in cells]
    out = {}
    for name, mine in {**groups, **({NO_CELL: bare} if bare else {})}.items():
        reasons = Counter(face.reason for face in mine if not face.accepted)
        out[name] = {
            "attempted": len(mine),
            "accepted": sum(face.accepted for face in mine),
            "rejected": dict(sorted((str(k), v) for k, v in reasons.items())),
        }
    return out


@STAGES.register("verify")
class VerifyStage(Stage):
    """Accepts or rejects every candidate; keeps at most a quota per cell; assigns identity-disjoint
    splits.
    """

    name = "verify"
    after = "sample"
    version = 2
    needs = ("sample",)

    def config(self, run: RunDirectory) -> dict[str, Any]:
        config = run.config
        return {
            "verify": config.verify.model_dump(),
            "taxonomy": config.dataset.taxonomy,
            "quotas": quotas(config),
            "per_cell": {cell: config.dataset.wanted(cell) for cell in config.dataset.cells},
            "splits": config.dataset.splits,
            "allow_short": config.pair.allow_short,
            "origins": config.sample.origins,
        }

    def weights(self, run: RunDirectory) -> dict[str, str]:
        verify = run.config.verify
        second = second_model(verify.policy, run.config.dataset.taxonomy) if verify.policy else ""
        return {
            "attribute_model": weight_digest(verify.attribute_model, "attributes"),
            **face_reader_weights(run.config),
            **({"second_model": weight_digest(second, "attributes")} if second else {}),
        }

    def files(self, run: RunDirectory) -> dict[str, str]:
        named, policy = run.config.verify.training_index, run.config.verify.policy
        found = {"policy": checked_policy(policy, run.config)} if policy else {}
        if not named:
            return found
        if not Path(named).is_file():
            raise MissingError(
                f"verify.training_index {named}",
                "is not there",
                f"make it: fairforge identity-index --data FACES --out {named}, or leave the key empty",
            )
        return {**found, "training_index": digest_file(named)}

    def _training(self, run: RunDirectory) -> str:
        """The digest of the index of training faces, of this run's identity model; empty for none.

        Raises:
            UsageError: it was made with another.
        """
        digest = self.files(run).get("training_index")
        if digest is None:
            return ""
        index = models.identity_index(run.config.verify.training_index, digest)
        if index.model_sha256 != self.weights(run)["identity_model"]:
            raise UsageError(
                f"verify.training_index {run.config.verify.training_index}",
                f"was made with {index.model or 'an unknown model'}, not with"
                f" {run.config.verify.identity_model}",
                "make it again: fairforge identity-index",
            )
        return digest

    def tasks(self, context: Context, key: str) -> list[Task]:
        run, config = context.run, context.config
        candidates = run.folder("sample") / "candidates.parquet"
        total = row_count(candidates)
        judging = Judging(
            verify=config.verify,
            taxonomy=config.dataset.taxonomy,
            cells=config.dataset.cells,
            device=config.execute.device,
            candidates=candidates,
            sample_folder=run.folder("sample"),
            looks=PHOTOGRAPH in config.sample.origins,
            training_sha256=self._training(run),
        )
        size = config.verify.shard_size
        return [
            Task(
                self.name,
                number,
                self.folder(run),
                key,
                verify_candidates,
                replace(judging, start=start, stop=min(start + size, total)),
            )
            for number, start in enumerate(range(0, total, size))
        ]

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        run, config = context.run, context.config
        table = read_shards(self.folder(run), len(tasks))
        read = table.drop_columns(["landmarks", "race_probs"])
        faces = settle(refuse_copies(faces_of(read)), quotas(config), config.verify.min_identity_distance)
        accepted = [face for face in faces if face.accepted]
        splits = assign_splits(
            [face.identity_id for face in accepted],
            [" ".join(map(str, face.stratum)) for face in accepted],
            config.dataset.splits,
            seed=config.run.seed,
        )
        split_of = {face.image_id: split for face, split in zip(accepted, splits, strict=True)}
        table = with_values(table, "status", [face.status for face in faces])
        table = with_values(table, "reason", [face.reason for face in faces])
        table = with_values(table, "split", [split_of.get(face.image_id) for face in faces])
        faces_path, table_path = self.folder(run) / "faces.parquet", self.folder(run) / "acceptance.json"
        kept = table.select([name for name in table.column_names if name != LOOK.name])
        write_table(kept.sort_by("image_id").combine_chunks(), faces_path)
        figures = acceptance(faces, config.dataset.cells, config.sample.origins)
        write_json(table_path, figures)
        self._gate(config, figures)
        outputs = [faces_path, table_path]
        if config.verify.policy:
            outputs.append(self.folder(run) / "verifier.json")
            write_json(
                outputs[-1],
                verifier_figures(Path(config.verify.policy), get_taxonomy(config.dataset.taxonomy), faces),
            )
        return Outcome(outputs, {"accepted": len(accepted), "attempted": len(faces)})

    def _gate(self, config: Config, figures: dict[str, dict[str, Any]]) -> None:
        origins, wanted = config.sample.origins, config.dataset.wanted
        asked = {
            stratum_name(cell, origin, origins): wanted(cell)
            for cell in config.dataset.cells
            for origin in origins
        }
        short = {name: count for name, count in asked.items() if figures[name]["accepted"] < count}
        if short and not config.pair.allow_short:
            names = "; ".join(
                f"{name} has {figures[name]['accepted']} of {count} (rejected: {figures[name]['rejected']})"
                for name, count in short.items()
            )
            remedy = (
                ""
                if PHOTOGRAPH not in origins
                else "name more photographs, raise sample.tries, loosen sample.filters, "
            )
            raise GateError(
                f"{len(short)} cell{'s' if len(short) > 1 else ''} cannot be filled",
                names,
                f"{remedy}raise sample.oversample, lower verify.min_race_prob, ask for fewer with"
                " dataset.per_cell, or pass --allow-short to go on with what there is",
            )
