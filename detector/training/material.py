"""What a detector is trained on: the splits of a manifest, the loss that knows its classes, each epoch's
batches.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from detector.losses import Given, build_loss
from detector.training.augmentation import AugmentParams
from detector.training.batch_maker import BatchMaker
from detector.training.data import (
    Indices,
    SplitData,
    check_rows,
    class_counts,
    load_masks,
    open_manifest,
    read_split,
)
from detector.training.online import (
    BuildForge,
    judged_split,
    online_counts,
    online_split,
    with_families,
)
from detector.training.preparation import check_shares, network_config
from detector.training.qualities import parse_qualities
from detector.training.sampler import balanced_epoch, shuffled_epoch
from detector.training.settings import TrainSettings
from manifests.atomic import digest_file
from manifests.contents import Digests
from manifests.errors import UsageError
from manifests.store import manifest_file
from nn.processes import World

Report = Callable[[dict[str, Any]], None]


class Material:
    """A manifest as a training sees it. Made, it has read the rows: loss, classes and the network's config;
    the images come with `read_images`.

    Args:
        settings: of the training.
        manifest: its file or folder.
        world: the processes, among which batches split.
        build_forge: makes the maker of fakes drawn anew; None where they are stored.
        digests: which images are compared with the digests of their rows.
        report: is told what was left out.

    Raises:
        UsageError: settings that contradict each other or do not fit the processes.
        DataError: rows that cannot be trained on.
        MissingError: no manifest.
    """

    train: SplitData
    val: SplitData
    maker: BatchMaker
    steps: int

    def __init__(
        self,
        settings: TrainSettings,
        manifest: Path,
        world: World,
        build_forge: BuildForge | None,
        digests: Digests,
        report: Report,
    ) -> None:
        self.settings, self.manifest, self.digests, self.report = settings, manifest, digests, report
        self.build_forge, self.online = build_forge, build_forge is not None
        self.loss = build_loss(settings.loss, settings.loss_params)
        self.augmentation = AugmentParams.model_validate(settings.augment_params)
        self.qualities = parse_qualities(settings.qualities)
        check_shares(settings, world, self.loss)
        self.table, self.folder, self.classes = open_manifest(manifest)
        per_cell = "cell" in self.loss.needs.counts
        check_rows(self.table, str(manifest), self.classes, settings.heads, per_cell, self.online)
        if build_forge is not None:
            self.classes = with_families(self.classes, build_forge([]).families.values())
        counts = class_counts(self.table, self.classes)
        self.loss.prepare(
            Given(
                settings.heads,
                online_counts(counts) if self.online else counts,
                max(len(self.qualities), 1),
                settings.mask_decoder,
                settings.head_mode,
            )
        )
        self.manifest_sha256 = digest_file(manifest_file(manifest))
        self.config = network_config(settings, self.classes, self.loss)

    def read_images(self) -> None:
        """Read both splits, and masks where they are needed.

        Raises:
            DataError: unreadable images.
            UsageError: a batch larger than an epoch.
        """
        settings = self.settings
        self.train, self.val = self._split(self.table, "train"), self._split(self.table, "val")
        if settings.mask_decoder and not self.online:
            load_masks(self.train, str(self.manifest))
        self.maker = BatchMaker(
            self.train,
            settings.own_seed,
            self.augmentation if settings.augment else None,
            tuple(self.qualities),
            settings.pairs,
            settings.mask_decoder,
        )
        self.steps = len(self.batches(0))
        if self.steps == 0:
            raise UsageError(
                f"batch = {settings.batch}",
                f"is larger than one epoch of the {len(self.train)} training images",
                "choose a smaller batch, or make more data",
            )

    def _split(self, table: pa.Table, split: str) -> SplitData:
        """A split with its stored fakes or, where fakes are drawn anew, those; validation keeps its stored
        ones if it has any.
        """
        side, seed = self.config.input_size, self.settings.own_seed
        if self.build_forge is None:
            return read_split(table, self.folder, split, self.classes, side, self.digests)
        read = online_split if split == "train" else judged_split
        data, left_out = read(
            table, self.folder, split, self.classes, side, self.build_forge, seed, self.digests
        )
        if left_out:
            self.report({"event": "left out", "split": split, "faces": len(left_out), "first": left_out[0]})
        return data

    def batches(self, epoch: int) -> list[Indices]:
        """Rows of each batch of all processes, int64 [batch] each, `epoch_batches` at most.

        Args:
            epoch: from 0.
        """
        settings, data = self.settings, self.train
        if settings.sampling == "shuffle":
            found = shuffled_epoch(len(data), settings.batch, settings.own_seed, epoch)
        else:
            found = balanced_epoch(
                data.labels,
                data.groups["cell"],
                data.pair_ids,
                settings.batch,
                settings.own_seed,
                epoch,
                pairs=settings.pairs,
                methods=data.methods if settings.sampling == "stratified" else None,
            )
        return found[: settings.epoch_batches or None]
