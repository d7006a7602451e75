"""Commands about models and data outside a run: training face models, import, releases, weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options as o
from pipeline.cli import release_command
from pipeline.cli.places import folder_place

DataOption = Annotated[Path, typer.Option("--data", help="Folder with train-*.parquet and dev.parquet.")]
OutFolder = Annotated[Path, typer.Option("--out", callback=folder_place, help="Folder to write into.")]
SizesOption = Annotated[
    str | None,
    typer.Option(
        "--sizes",
        help="Input side x epochs, one after another: 64x8,96x4; default: as the embedded model was trained.",
    ),
]

TrunkOption = Annotated[
    str,
    typer.Option(
        "--trunk",
        help=(
            "timm's name of the network; tf_efficientnet_lite0 starts from ImageNet weights that are"
            " installed."
        ),
    ),
]
PrecisionOption = Annotated[str, typer.Option("--precision", help="auto, float32 or bfloat16.")]


def add(app: typer.Typer) -> None:
    """Add the model commands to the app."""

    @app.command("train-attributes", help="Train the race x gender x age model on labelled aligned faces.")
    def train_attributes(
        data: DataOption,
        out: OutFolder,
        sizes: SizesOption = None,
        seed: o.SeedOption = None,
        threads: Annotated[int, typer.Option("--threads", min=1, max=1024, help="Of the CPU.")] = 2,
        precision: PrecisionOption = "auto",
        trunk: TrunkOption = "resnet10t",
        track: o.TrackOption = None,
        json_: o.JsonOption = False,
        quiet: o.QuietOption = False,
    ) -> None:
        from pipeline.commands.face_models import train_face_model

        value, text = train_face_model(
            "attributes", data, out, sizes, seed, threads, precision, quiet, trunk, track or ()
        )
        o.emit(value, text, json_)

    @app.command("train-landmarks", help="Train the dense landmark model on faces with 148 mesh points.")
    def train_landmarks(
        data: DataOption,
        out: OutFolder,
        sizes: SizesOption = None,
        seed: o.SeedOption = None,
        threads: Annotated[int, typer.Option("--threads", min=1, max=1024, help="Of the CPU.")] = 2,
        precision: PrecisionOption = "auto",
        track: o.TrackOption = None,
        json_: o.JsonOption = False,
        quiet: o.QuietOption = False,
    ) -> None:
        from pipeline.commands.face_models import train_face_model

        value, text = train_face_model(
            "landmarks", data, out, sizes, seed, threads, precision, quiet, track=track or ()
        )
        o.emit(value, text, json_)

    @app.command(help="A manifest in another layout: see `fairforge list exporters`.")
    def export(
        name: Annotated[
            str, typer.Argument(metavar="FORMAT", help="deepfakebench, imagefolder, purdue or webdataset.")
        ],
        manifest: Annotated[Path, typer.Argument(help="A manifest, or its folder.")],
        out: OutFolder,
        set_: o.SetOption = None,
        json_: o.JsonOption = False,
    ) -> None:
        from pipeline.commands.export import export_manifest

        value, text = export_manifest(name, manifest, out, set_ or [])
        o.emit(value, text, json_)

    release_command.add_folders(app)
    _add_weights(app)


def _add_weights(app: typer.Typer) -> None:
    weights_app = typer.Typer(
        no_args_is_help=True, help="The weights this program knows.", rich_markup_mode=None
    )
    app.add_typer(weights_app, name="weights")

    @weights_app.command("list", help="All weights: kind, licence, data, measured quality.")
    def list_(json_: o.JsonOption = False) -> None:
        from pipeline.commands.weights.records import list_weights

        value, text = list_weights()
        o.emit(value, text, json_)

    @weights_app.command(help="Are all weight files the ones catalogued?")
    def verify(json_: o.JsonOption = False) -> None:
        from pipeline.commands.weights.records import verify_weights

        value, text, good = verify_weights()
        o.emit(value, text, json_)
        if not good:
            raise typer.Exit(4)

    @weights_app.command(
        help="A trained detector as one small file with a name: half precision, calibrated on a val split."
    )
    def embed(
        detector: Annotated[
            Path, typer.Argument(help="A detector: its training's folder, its file, or a name.")
        ],
        name: Annotated[
            str, typer.Option("--name", help="Its name here; photographs is what predict uses by default.")
        ],
        licence: Annotated[str, typer.Option("--licence", help="Of the weights; with what is to be named.")],
        data: Annotated[
            str, typer.Option("--data", help="What it was trained on, with licence and attribution.")
        ],
        validation: Annotated[
            Path,
            typer.Option(
                "--validation", help="A manifest: its val split fits the temperature and fixes the threshold."
            ),
        ],
        threshold: Annotated[
            str, typer.Option("--threshold", help="A number, val-eer, or val-fpr@X.")
        ] = "val-fpr@0.05",
        recipe: Annotated[str | None, typer.Option("--recipe", help="How to make it again.")] = None,
        out: Annotated[
            Path | None,
            typer.Option("--out", callback=folder_place, help="Folder of weights; default: the user's."),
        ] = None,
        device: o.ModelDeviceOption = "cpu",
        json_: o.JsonOption = False,
    ) -> None:
        from pipeline.commands.weights.embedding import embed_detector

        value, text = embed_detector(
            detector, name, licence, data, recipe, validation, threshold, out, device
        )
        o.emit(value, text, json_)

    @weights_app.command(
        "import",
        help="Read a StyleGAN2 checkpoint, a backbone's weights or fitted cells safely; record them.",
    )
    def import_(
        file: Annotated[Path, typer.Argument(help="A .pkl, .pt, .pth or .safetensors file.")],
        licence: Annotated[
            str, typer.Option("--licence", help="The licence it came under; travels into every image.")
        ],
        name: Annotated[
            str | None, typer.Option("--name", help="Its name here; default: the file's.")
        ] = None,
        kind: Annotated[
            str, typer.Option("--kind", help="What it is: generator, backbone or cells.")
        ] = "generator",
        json_: o.JsonOption = False,
    ) -> None:
        from pipeline.commands.weights.records import import_weight

        value, text = import_weight(file, name or file.stem, licence, kind)
        o.emit(value, text, json_)
