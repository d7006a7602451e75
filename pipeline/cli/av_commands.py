"""`fairforge av`: sound and picture of clips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options as o

ManifestArgument = Annotated[Path, typer.Argument(help="A manifest with clips, or its folder.")]


def add(app: typer.Typer) -> None:
    """Add the group to the app."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Sound and picture of clips: rewrite.")
    app.add_typer(group, name="av")
    _add_rewrite(group)


def _add_rewrite(group: typer.Typer) -> None:
    @group.command("rewrite", help="All clips through one encoder, real and fake alike: the label-blind remedy for shortcuts.")
    def rewrite(
        manifest: ManifestArgument,
        out: Annotated[Path, typer.Option("--out", help="Folder for the new manifest; run again to go on.")],
        trim: Annotated[bool, typer.Option("--trim", help="Cut leading and trailing silence, in whole frames.")] = False,
        seconds: Annotated[float | None, typer.Option("--seconds", help="Length of every clip; shorter ones are left out.")] = None,
        width: Annotated[int | None, typer.Option("--width", min=16, help="Of frames; default: the first clip's.")] = None,
        height: Annotated[int | None, typer.Option("--height", min=16, help="Of frames; default: the first clip's.")] = None,
        crf: Annotated[int, typer.Option("--crf", min=0, max=51, help="Of H.264.")] = 18,
        lossless: Annotated[bool, typer.Option("--lossless", help="Sound as ALAC instead of AAC.")] = False,
        plant: Annotated[str | None, typer.Option(
            "--plant-silence", help="LEAST,MOST seconds of silence before the fakes alone, to see it found.")] = None,
        seed: Annotated[int, typer.Option("--seed", min=0, help="Of the lengths of planted silence.")] = 2026,
        json_: o.JsonOption = False, quiet: o.QuietOption = False,
    ) -> None:
        from manifests.clips.rewriting import Rewrite
        from pipeline.audio_visual.rewriting import rewrite_clips, silence_range

        if plant is None and seed != 2026:
            o.refuse("without --plant-silence", {"--seed": seed}, "leave it out: nothing else is drawn")
        how = Rewrite(trim, seconds, width, height, crf, lossless, silence_range(plant) if plant is not None else None, seed)
        value, text = rewrite_clips(manifest, out, how, quiet=quiet)
        o.emit(value, text, json_)
