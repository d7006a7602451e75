"""`fairforge av`: sound and picture of clips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options as o
from pipeline.cli.places import folder_place

CheckpointOption = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        help="A model of `av train`: file, folder, or name; default: the embedded one, talking-faces.",
    ),
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, max=1024, help="Processes that read clips; default: 1.")
]
TrimOption = Annotated[
    bool, typer.Option("--trim", help="Without the frames of leading silence, as published.")
]
ManifestArgument = Annotated[Path, typer.Argument(help="A manifest with clips, or its folder.")]


def add(app: typer.Typer) -> None:
    """Add the group to the app."""
    group = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="Sound and picture of clips: features, train, predict, evaluate, rewrite, embed.",
    )
    app.add_typer(group, name="av")
    _add_features(group)
    _add_train(group)
    _add_predict(group)
    _add_evaluate(group)
    _add_rewrite(group)
    _add_embed(group)


def _add_features(group: typer.Typer) -> None:
    @group.command(
        "features",
        help="Mouths and filterbanks of clips, one file each; or a check of features that are published.",
    )
    def features(
        paths: Annotated[
            list[Path], typer.Argument(help="Manifests, folders of clips, or clips; with --published a list.")
        ],
        out: Annotated[
            Path, typer.Option("--out", callback=folder_place, help="Folder; run again to go on.")
        ],
        published: Annotated[
            Path | None,
            typer.Option(
                "--published", help="Folder of AV-HuBERT features (.npz) that the list path,label names."
            ),
        ] = None,
        trim: TrimOption = False,
        workers: WorkersOption = None,
        device: o.ModelDeviceOption = "cpu",
        json_: o.JsonOption = False,
        quiet: o.QuietOption = False,
    ) -> None:
        from pipeline.commands.audio_visual.features import features_command

        if published is not None:
            o.refuse(
                "with --published",
                {"--trim": trim, "--workers": workers, "--device": device if device != "cpu" else None},
                "leave it out: published features are taken as they are",
            )
        value, text, any_ok = features_command(
            paths, out, published=published, trim=trim, device=device, workers=workers or 1, quiet=quiet
        )
        o.emit(value, text, json_)
        if not any_ok:
            raise typer.Exit(3)


def _add_train(group: typer.Typer) -> None:
    @group.command(
        "train",
        help="AVH-Align on real clips alone: first the encoder where there is none, then the alignment.",
    )
    def train(
        features: Annotated[Path, typer.Option("--features", help="Folder of `av features`.")],
        out: Annotated[
            Path,
            typer.Option("--out", callback=folder_place, help="Folder for the model; run again to go on."),
        ],
        supervised: Annotated[
            bool, typer.Option("--supervised", help="The twin that learns from labels.")
        ] = False,
        encoder: Annotated[
            Path | None, typer.Option("--encoder", help="A model whose encoder is taken as it is.")
        ] = None,
        steps: Annotated[
            int | None, typer.Option("--steps", min=1, max=10_000_000, help="Of the alignment.")
        ] = None,
        encoder_steps: Annotated[
            int | None, typer.Option("--encoder-steps", min=1, max=10_000_000, help="Of the encoder.")
        ] = None,
        threads: Annotated[
            int | None, typer.Option("--threads", min=1, max=1024, help="Of the processor.")
        ] = None,
        set_: Annotated[
            list[str] | None, typer.Option("--set", help="A setting: key=value (repeatable).")
        ] = None,
        seed: Annotated[
            int | None, typer.Option("--seed", min=0, max=(1 << 63) - 1, help="Of the training.")
        ] = None,
        fresh: Annotated[bool, typer.Option("--fresh", help="Begin again.")] = False,
        json_: o.JsonOption = False,
        quiet: o.QuietOption = False,
    ) -> None:
        from pipeline.commands.audio_visual.training import settings_of, train_command

        if encoder is not None:
            o.refuse("beside --encoder", {"--encoder-steps": encoder_steps}, "leave one of them out")
        settings = settings_of(
            set_ or [],
            kind="supervised" if supervised else None,
            steps=steps,
            encoder_steps=encoder_steps,
            threads=threads,
            seed=seed,
        )
        value, text = train_command(features, out, settings, encoder=encoder, fresh=fresh, quiet=quiet)
        o.emit(value, text, json_)


def _add_predict(group: typer.Typer) -> None:
    @group.command(
        "predict", help="Scores of clips, one per clip and per frame; exit 3 when none could be scored."
    )
    def predict(
        paths: Annotated[list[Path], typer.Argument(help="Clips, folders of them, or manifests.")],
        checkpoint: CheckpointOption = None,
        trim: TrimOption = False,
        plots: Annotated[
            Path | None,
            typer.Option("--plots", callback=folder_place, help="Folder for a picture of each clip."),
        ] = None,
        device: o.ModelDeviceOption = "cpu",
        json_: o.JsonOption = False,
    ) -> None:
        from detector.audio_visual.model import TALKING
        from pipeline.commands.audio_visual.prediction import predict_command

        model = checkpoint or Path(TALKING)
        value, text, any_ok = predict_command(paths, model, trim=trim, plots=plots, device=device)
        o.emit(value, text, json_)
        if not any_ok:
            raise typer.Exit(3)


def _add_evaluate(group: typer.Typer) -> None:
    @group.command(
        "evaluate",
        help="AUC and fairness of clips; with --trim also with leading silence removed, side by side.",
    )
    def evaluate(
        out: Annotated[
            Path,
            typer.Option(
                "--out",
                callback=folder_place,
                help="Folder for index.html, results.json and scores.parquet; run again to go on.",
            ),
        ],
        checkpoint: CheckpointOption = None,
        manifest: Annotated[
            Path | None, typer.Option("--manifest", help="Clips, by their manifest or its folder.")
        ] = None,
        features: Annotated[
            Path | None, typer.Option("--features", help="Instead: a folder of `av features`.")
        ] = None,
        split: Annotated[
            str | None, typer.Option("--split", help="train, val or test; default: all.")
        ] = None,
        trim: TrimOption = False,
        min_n: Annotated[
            int, typer.Option("--min-n", min=1, max=10_000_000, help="Fewest people of a group in a gap.")
        ] = 5,
        replicates: Annotated[
            int, typer.Option("--replicates", min=0, max=100_000, help="Of the bootstrap; 0: no intervals.")
        ] = 500,
        seed: Annotated[int, typer.Option("--seed", min=0, max=(1 << 63) - 1, help="Of the bootstrap.")] = 0,
        workers: WorkersOption = None,
        device: o.ModelDeviceOption = "cpu",
        json_: o.JsonOption = False,
        quiet: o.QuietOption = False,
    ) -> None:
        from detector.audio_visual.model import TALKING
        from pipeline.commands.audio_visual import evaluation
        from pipeline.stages.evaluate.measuring import Measure

        if features is not None:
            o.refuse(
                "with --features",
                {"--workers": workers, "--device": device if device != "cpu" else None},
                "leave it out: the features are scored as they are",
            )
        model = checkpoint or Path(TALKING)
        request = evaluation.Request(model, out, manifest, features, split, trim)
        how = Measure("corrected", min_n, replicates, seed)
        value, text = evaluation.evaluate_clips(
            request, how, device=device, quiet=quiet, workers=workers or 1
        )
        o.emit(value, text, json_)


def _add_rewrite(group: typer.Typer) -> None:
    @group.command(
        "rewrite",
        help="All clips through one encoder, real and fake alike: the label-blind remedy for shortcuts.",
    )
    def rewrite(
        manifest: ManifestArgument,
        out: Annotated[
            Path,
            typer.Option(
                "--out", callback=folder_place, help="Folder for the new manifest; run again to go on."
            ),
        ],
        trim: Annotated[
            bool, typer.Option("--trim", help="Cut leading and trailing silence, in whole frames.")
        ] = False,
        seconds: Annotated[
            float | None,
            typer.Option(
                "--seconds", min=0, max=86_400, help="Length of every clip; shorter ones are left out."
            ),
        ] = None,
        width: Annotated[
            int | None,
            typer.Option("--width", min=16, max=8192, help="Of frames; default: the first clip's."),
        ] = None,
        height: Annotated[
            int | None,
            typer.Option("--height", min=16, max=8192, help="Of frames; default: the first clip's."),
        ] = None,
        crf: Annotated[int, typer.Option("--crf", min=0, max=51, help="Of H.264.")] = 18,
        lossless: Annotated[bool, typer.Option("--lossless", help="Sound as ALAC instead of AAC.")] = False,
        plant: Annotated[
            str | None,
            typer.Option(
                "--plant-silence",
                help="LEAST,MOST seconds of silence before the fakes alone, to see it found.",
            ),
        ] = None,
        seed: Annotated[
            int, typer.Option("--seed", min=0, max=(1 << 63) - 1, help="Of the lengths of planted silence.")
        ] = 2026,
        json_: o.JsonOption = False,
        quiet: o.QuietOption = False,
    ) -> None:
        from manifests.clips.rewriting import Rewrite
        from pipeline.commands.audio_visual.rewriting import rewrite_clips, silence_range

        if plant is None and seed != 2026:
            o.refuse("without --plant-silence", {"--seed": seed}, "leave it out: nothing else is drawn")
        how = Rewrite(
            trim,
            seconds,
            width,
            height,
            crf,
            lossless,
            silence_range(plant) if plant is not None else None,
            seed,
        )
        value, text = rewrite_clips(manifest, out, how, quiet=quiet)
        o.emit(value, text, json_)


def _add_embed(group: typer.Typer) -> None:
    @group.command("embed", help="A trained model as one small file with a name, which --checkpoint finds.")
    def embed(
        checkpoint: Annotated[Path, typer.Argument(help="A model of `av train`: its folder, or its file.")],
        name: Annotated[str, typer.Option("--name", help="Its name here.")],
        licence: Annotated[str, typer.Option("--licence", help="Of the weights; with what is to be named.")],
        data: Annotated[
            str, typer.Option("--data", help="What it was trained on, with licence and attribution.")
        ],
        features: Annotated[
            Path,
            typer.Option("--features", help="Folder of `av features`: what half precision changes."),
        ],
        evaluation: Annotated[
            Path, typer.Option("--evaluation", help="Folder of `av evaluate` of this model, for its figures.")
        ],
        recipe: Annotated[str | None, typer.Option("--recipe", help="How to make it again.")] = None,
        out: Annotated[
            Path | None,
            typer.Option("--out", callback=folder_place, help="Folder of weights; default: the user's."),
        ] = None,
        json_: o.JsonOption = False,
    ) -> None:
        from pipeline.commands.audio_visual.embedding import embed_model

        value, text = embed_model(checkpoint, name, licence, data, recipe, features, evaluation, out)
        o.emit(value, text, json_)
