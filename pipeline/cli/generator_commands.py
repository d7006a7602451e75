"""Commands that train generators."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options as o
from pipeline.cli.places import folder_place

DataOption = Annotated[
    Path, typer.Option("--data", help="Folder of images, official dataset zip, or parquet.")
]
OutOption = Annotated[
    Path, typer.Option("--out", callback=folder_place, help="Folder to write into; a run in it goes on.")
]
ResolutionOption = Annotated[
    int, typer.Option("--resolution", min=8, max=4096, help="Of the last phase, a power of two.")
]
KimgOption = Annotated[
    float | None,
    typer.Option(
        "--kimg", min=0, max=1e9, help="Thousand real images seen, where there is one phase (default 200)."
    ),
]
PhasesOption = Annotated[
    str | None, typer.Option("--phases", help="Progressive: RESOLUTION:KIMG,... e.g. 16:64,32:128.")
]
StartOption = Annotated[
    str | None,
    typer.Option(
        "--start",
        help=("Generator, or folder of a training run, to go on from; at half the resolution it grows."),
    ),
]
KeepOption = Annotated[
    list[str] | None, typer.Option("--keep", help="Condition on a parquet column: 'abs(yaw_proxy)<0.3'.")
]
ConditionalOption = Annotated[
    bool, typer.Option("--conditional", help="Classes from dataset.json or --label-column.")
]
LabelOption = Annotated[
    str | None, typer.Option("--label-column", help="Class column of parquet files; several: race,gender.")
]
BalanceOption = Annotated[
    str | None,
    typer.Option(
        "--balance",
        help="Taxonomy whose cells are seen equally often; parquet with FairFace's columns race and gender.",
    ),
]
WeighOption = Annotated[
    list[str] | None,
    typer.Option(
        "--weigh",
        help="Draw images by quality: COLUMN:ZERO..ONE, a factor of the weight, 0 at ZERO and 1 at ONE of a"
        " parquet column (repeatable): sharpness:5..25, 'abs(yaw_proxy):0.6..0.3'.",
    ),
]
NoteOption = Annotated[
    str, typer.Option("--data-note", help="Name and licence of the data, for the checkpoint.")
]
SettingOption = Annotated[
    list[str] | None, typer.Option("--set", help="One more setting, name=value (repeatable).")
]


def add(app: typer.Typer) -> None:
    """Add the commands to the app."""

    @app.command(
        "train-generator",
        help="Train a StyleGAN2 generator: progressive, with adaptive augmentation; resumes exactly.",
    )
    def train_generator(
        data: DataOption,
        out: OutOption,
        resolution: ResolutionOption,
        kimg: KimgOption = None,
        phases: PhasesOption = None,
        start: StartOption = None,
        keep: KeepOption = None,
        conditional: ConditionalOption = False,
        label_column: LabelOption = None,
        balance: BalanceOption = None,
        weigh: WeighOption = None,
        batch: Annotated[
            int | None, typer.Option("--batch", min=2, max=65_536, help="Images per step, of all processes.")
        ] = None,
        precision: Annotated[
            str | None, typer.Option("--precision", help="auto, float32 or bfloat16.")
        ] = None,
        threads: Annotated[int | None, typer.Option("--threads", min=1, max=1024, help="Of the CPU.")] = None,
        seed: o.SeedOption = None,
        device: o.ModelDeviceOption = "cpu",
        data_note: NoteOption = "",
        set_: SettingOption = None,
        feature_networks: Annotated[
            str | None,
            typer.Option(
                "--feature-networks",
                help="Frozen networks that judge beside StyleGAN2's discriminator, comma-separated: see"
                " `fairforge list feature-networks`.",
            ),
        ] = None,
        features_alone: Annotated[
            bool, typer.Option("--features-alone", help="They judge without StyleGAN2's discriminator.")
        ] = False,
        track: o.TrackOption = None,
        json_: o.JsonOption = False,
        quiet: o.QuietOption = False,
    ) -> None:
        from pipeline.commands.generators.training import parse_phases, parse_settings, train_generator

        named = None if feature_networks is None else [n.strip() for n in feature_networks.split(",")]
        given = {
            **{"batch": batch, "precision": precision, "threads": threads, "seed": seed},
            **{"feature_networks": named, "features_alone": features_alone or None},
        }
        plan = parse_phases(phases, resolution, 200 if kimg is None else kimg)
        if phases is not None:
            o.refuse("beside --phases", {"--kimg": kimg}, "say it in --phases")
        settings = parse_settings(plan, given, set_ or [])
        value, text = train_generator(
            data,
            out,
            settings,
            start=start,
            keep=keep or [],
            label_column=label_column,
            conditional=conditional or label_column is not None,
            device=device,
            data_note=data_note,
            quiet=quiet,
            balance=balance,
            weigh=weigh or (),
            track=track or (),
        )
        o.emit(value, text, json_)

    @app.command(
        "train-autoencoder", help="Train the autoencoder that blend-neural draws faces with; resumes exactly."
    )
    def train_autoencoder(
        data: DataOption,
        out: OutOption,
        size: Annotated[
            int, typer.Option("--size", min=16, max=1024, help="Side of the pictures, a multiple of 8.")
        ] = 128,
        steps: Annotated[
            int | None, typer.Option("--steps", min=1, max=10_000_000, help="How many (default 3000).")
        ] = None,
        batch: Annotated[
            int | None, typer.Option("--batch", min=1, max=4096, help="Images per step (default 16).")
        ] = None,
        precision: Annotated[
            str | None, typer.Option("--precision", help="auto, float32 or bfloat16.")
        ] = None,
        threads: Annotated[
            int | None, typer.Option("--threads", min=1, max=1024, help="Of the CPU (default 1).")
        ] = None,
        seed: o.SeedOption = None,
        keep: KeepOption = None,
        data_note: NoteOption = "",
        track: o.TrackOption = None,
        json_: o.JsonOption = False,
        quiet: o.QuietOption = False,
    ) -> None:
        from manifests.errors import UsageError
        from pipeline.commands.generators.autoencoder import train_autoencoder

        if size % 8:
            raise UsageError(
                f"--size {size}", "is no multiple of 8", f"for example --size {size - size % 8 or 8}"
            )
        given = {"steps": steps, "batch": batch, "precision": precision, "threads": threads, "seed": seed}
        value, text = train_autoencoder(
            data,
            out,
            {name: one for name, one in given.items() if one is not None},
            size=size,
            keep=keep or [],
            data_note=data_note,
            quiet=quiet,
            track=track or (),
        )
        o.emit(value, text, json_)
