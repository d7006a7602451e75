"""`fairforge import`: other labs' datasets into a manifest; `fairforge gather`: manifests into one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options as o
from pipeline.cli.places import folder_place

CropOption = Annotated[
    str | None, typer.Option("--crop", help="box (default), or aligned as FairForge's own datasets.")
]
MarginOption = Annotated[
    float | None,
    typer.Option("--margin", min=1, max=4, help="Side of a box crop, times the face box (default 1.3)."),
]
SplitsOption = Annotated[list[str] | None, typer.Option("--split", help="Only this split (repeatable).")]


def add(app: typer.Typer) -> None:
    """Add `import` and `gather` to the app."""

    @app.command(
        "import", help="Bring a dataset into a manifest: images, faces out of the frames of videos, or clips."
    )
    def import_(
        adapter: Annotated[str, typer.Argument(help="An adapter: see `fairforge list adapters`.")],
        source: Annotated[Path, typer.Argument(help="The dataset's folder or file.")],
        out: Annotated[
            Path | None,
            typer.Option("--out", callback=folder_place, help="Folder to write into; run again to go on."),
        ] = None,
        taxonomy: Annotated[
            str | None, typer.Option("--taxonomy", help="Default: the adapter's own.")
        ] = None,
        compression: Annotated[
            str | None, typer.Option("--compression", help="raw, c23 or c40 (ffpp, dfd).")
        ] = None,
        annotations: Annotated[
            Path | None, typer.Option("--annotations", help="CSV of Xu et al. (sets of videos).")
        ] = None,
        frames: Annotated[
            int | None,
            typer.Option("--frames", min=1, max=100_000, help="Evenly spaced, per video (default 32)."),
        ] = None,
        split: SplitsOption = None,
        faces: Annotated[
            str | None,
            typer.Option(
                "--faces", help="auto (default): crop frames of videos; none; a detector: crop everything."
            ),
        ] = None,
        crop: CropOption = None,
        margin: MarginOption = None,
        size: Annotated[
            int | None,
            typer.Option("--size", min=16, max=8192, help="Side of every image, pixels; default: its own."),
        ] = None,
        codec: Annotated[
            str | None, typer.Option("--codec", help="png (default), jpeg or webp, of every image.")
        ] = None,
        quality: Annotated[
            int | None, typer.Option("--quality", min=1, max=100, help="1 to 100, for jpeg and webp.")
        ] = None,
        check: Annotated[
            bool, typer.Option("--check", help="Only say what is missing of the layout.")
        ] = False,
        device: o.ModelDeviceOption = "cpu",
        set_: o.SetOption = None,
        json_: o.JsonOption = False,
    ) -> None:
        from manifests.errors import UsageError
        from pipeline.commands.datasets import (
            Faces,
            adapter_params,
            check_layout,
            import_dataset,
            takes_clips,
        )

        params = adapter_params(
            set_ or [],
            compression=compression,
            annotations=annotations,
            frames=frames,
            splits=tuple(split or ()) or None,
        )
        if check:
            found, text = check_layout(adapter, source, params)
            o.emit(found, text, json_)
            raise typer.Exit(3 if found else 0)
        if out is None:
            raise UsageError("--out", "is not given", "name the folder to write into, or give --check")
        if takes_clips(adapter):
            o.refuse(
                "with clips, which are taken as they are",
                {
                    "--faces": faces,
                    "--crop": crop,
                    "--margin": margin,
                    "--size": size,
                    "--codec": codec,
                    "--quality": quality,
                    "--device": device if device != "cpu" else None,
                },
                "leave it out; `fairforge av rewrite` writes clips anew",
            )
        if faces == "none":
            o.refuse(
                "with --faces none",
                {"--crop": crop, "--margin": margin, "--device": device if device != "cpu" else None},
                "leave it out, or let faces be cropped",
            )
        if crop == "aligned":
            o.refuse("with --crop aligned", {"--margin": margin}, "leave it out, or choose --crop box")
        codec = codec or "png"
        if codec == "png":
            o.refuse(
                "with --codec png, which loses nothing",
                {"--quality": quality},
                "leave it out, or choose jpeg or webp",
            )
        cut = Faces(faces or Faces.detector, crop or Faces.style, Faces.margin if margin is None else margin)
        value, text = import_dataset(
            adapter, source, out, taxonomy, params, cut, size, codec, quality, device
        )
        o.emit(value, text, json_)

    @app.command(
        help=(
            "Several imported manifests of real faces into one: no picture twice, cells balanced, splits"
            " disjoint."
        )
    )
    def gather(
        sources: Annotated[
            list[Path], typer.Argument(help="Manifests, or their folders; all of one taxonomy.")
        ],
        out: Annotated[Path, typer.Option("--out", callback=folder_place, help="Folder to write into.")],
        per_cell: Annotated[
            int | None,
            typer.Option(
                "--per-cell", min=1, max=10_000_000, help="At most so many of each cell; default: all."
            ),
        ] = None,
        share: Annotated[
            list[str] | None, typer.Option("--share", help="SPLIT=SHARE (repeatable), summing to 1.")
        ] = None,
        split: Annotated[
            str | None, typer.Option("--split", help="Only rows that are of this split there.")
        ] = None,
        without: Annotated[
            list[Path] | None,
            typer.Option(
                "--without",
                help="Keep no picture and nobody of this manifest (repeatable): for held-out sets.",
            ),
        ] = None,
        seed: Annotated[
            int,
            typer.Option("--seed", min=0, max=(1 << 63) - 1, help="Decides who is kept, and in which split."),
        ] = 2026,
        json_: o.JsonOption = False,
    ) -> None:
        from pipeline.commands.datasets import gather_manifests

        value, text = gather_manifests(
            sources, out, share or ["train=0.8", "val=0.1", "test=0.1"], per_cell, seed, split, without or []
        )
        o.emit(value, text, json_)
