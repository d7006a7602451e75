"""`predict` and `export-onnx`: a trained detector put to use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options as o
from pipeline.cli.places import file_place, folder_place

CheckpointOption = Annotated[
    Path, typer.Option("--checkpoint", help="A detector: its file, its training's folder, or a name.")
]
MaybeCheckpoint = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        help=(
            "A detector: its file, its training's folder, or a name; default: the embedded one, photographs."
        ),
    ),
]


def add(app: typer.Typer) -> None:
    """Add the commands to the app."""

    @app.command(
        help=(
            "Fake probability of pictures, folders and videos by a detector; exit 3 when none could be"
            " scored."
        )
    )
    def predict(
        paths: Annotated[list[Path], typer.Argument(help="Pictures, videos, or folders of them.")],
        checkpoint: MaybeCheckpoint = None,
        faces: Annotated[
            bool | None,
            typer.Option(
                "--faces/--no-faces",
                help="Search and align faces always, or never; default: unless a picture is an aligned crop.",
            ),
        ] = None,
        frames: Annotated[
            int, typer.Option("--frames", min=1, max=100_000, help="Frames per video, spread evenly.")
        ] = 32,
        heatmap: Annotated[
            Path | None,
            typer.Option(
                "--heatmap", callback=folder_place, help="Folder for one Grad-CAM picture per face."
            ),
        ] = None,
        device: o.ModelDeviceOption = "cpu",
        json_: o.JsonOption = False,
    ) -> None:
        from pipeline.commands.prediction import predict_command

        value, text = predict_command(
            paths,
            checkpoint,
            faces="auto" if faces is None else "always" if faces else "never",
            frames=frames,
            heatmaps=heatmap,
            device=device,
        )
        o.emit(value, text, json_)
        if all(row["status"] == "failed" for row in value):
            raise typer.Exit(3)

    @app.command(
        "export-onnx", help="A detector as one ONNX file, checked against torch (needs fairforge[onnx])."
    )
    def export_onnx(
        checkpoint: CheckpointOption,
        out: Annotated[Path, typer.Option("--out", callback=file_place, help="The .onnx file to write.")],
        json_: o.JsonOption = False,
    ) -> None:
        from pipeline.commands.prediction import export_command

        value, text = export_command(checkpoint, out)
        o.emit(value, text, json_)
