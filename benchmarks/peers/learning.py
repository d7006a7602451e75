"""Training and reading: against a plain loop over timm with torchvision's loader, and against `datasets` on
the same folder.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import timm
import torch
from torch import nn

from benchmarks.peers.timing import Comparison
from benchmarks.training import Step
from detector.training.batch_loading import Feeder
from detector.training.batch_maker import BatchMaker
from detector.training.data import SplitData
from manifests.contents import compared
from manifests.images import encode, read_image
from manifests.seeding import rng_of
from manifests.store import read_table


def folder_of(out: Path, count: int, side: int) -> list[Path]:
    """JPEGs of smooth noise in `real` and `fake` below `out`, as ImageFolder reads them."""
    files = []
    for k in range(count):
        coarse = rng_of(0, "peers", k).integers(0, 256, (side // 8, side // 8, 3), np.uint8)
        path = out / ("real", "fake")[k % 2] / f"{k:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(np.kron(coarse, np.ones((8, 8, 1), np.uint8)), "jpeg", 90))
        files.append(path)
    return files


def training(
    folder: Path, count: int, backbone: str = "resnet10t", side: int = 64, batch: int = 32
) -> Comparison:
    """An epoch of AdamW on the same network, pictures read from files: our steps against torchvision's
    loader and timm.

    Neither augments, neither has workers; the network sees the picture alone and has one output.
    """
    from torch.utils.data import DataLoader
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    files = folder_of(folder, count, 128)
    labels = np.arange(count) % 2
    groups = dict.fromkeys(("race", "gender", "cell"), labels)
    data = SplitData(side, files, [f.stem for f in files], [None] * count, labels, groups)
    rows = [np.arange(at, at + batch) for at in range(0, count - batch + 1, batch)]
    step = Step(backbone, "adamw", batch, side, "cpu", plain=True)
    maker = BatchMaker(data, 0, None, (), False, False)

    def ours() -> None:
        with Feeder(maker, 0, False) as feeder:
            for own, ready in zip(rows, feeder.batches(rows, 0), strict=True):
                step(ready.pixels, labels[own])

    network = timm.create_model(backbone, pretrained=False, num_classes=1).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    loss_of = nn.BCEWithLogitsLoss()
    change = transforms.Compose(
        [transforms.Resize((side, side)), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
    )
    loader = DataLoader(ImageFolder(str(folder), change), batch, shuffle=True, drop_last=True)

    def peer() -> None:
        for images, truth in loader:
            optimizer.zero_grad()
            loss = loss_of(network(images)[:, 0], truth.float())
            loss.backward()
            optimizer.step()
            float(loss)

    return Comparison(
        f"training, {backbone}", "timm and torchvision's loader", len(rows) * batch, 1.0, ours, peer
    )


def reading(folder: Path, count: int, side: int = 128) -> Comparison:
    """All pictures of a folder as arrays: ours with sampled digests, against `datasets` on the exported
    folder.
    """
    import datasets
    import pyarrow as pa

    from manifests.atomic import digest_file
    from manifests.store import write_table

    files = folder_of(folder / "pictures", count, side)
    rows = {"path": [str(file) for file in files], "sha256": [digest_file(file) for file in files]}
    write_table(pa.table(rows), folder / "rows.parquet")
    datasets.config.HF_HUB_OFFLINE = True
    datasets.disable_progress_bars()
    loaded = datasets.load_dataset(
        "imagefolder", data_dir=str(folder / "pictures"), split="train", cache_dir=str(folder / "cache")
    )

    def ours() -> list[int]:
        table = read_table(folder / "rows.parquet").to_pylist()
        return [int(read_image(row["path"], compared(row["sha256"], "sampled")).sum()) for row in table]

    def peer() -> list[int]:
        return [int(np.asarray(row["image"].convert("RGB")).sum()) for row in loaded]

    same = sorted(ours()) == sorted(peer())
    return Comparison(
        "reading pictures",
        "datasets, ImageFolder",
        count,
        1.0,
        ours,
        peer,
        f"pixels {'the same' if same else 'differ'}",
    )
