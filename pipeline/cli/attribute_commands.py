"""Commands that read faces: `attributes`, annotating pictures or measuring a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options as o

PathsArgument = Annotated[list[Path] | None, typer.Argument(help="Images, folders, videos, manifests.")]
ModelOption = Annotated[str, typer.Option("--model", help="Registered name, weight file, or ONNX description (.toml).")]
FileOption = Annotated[str, typer.Option("--model-file", help="Your weights, for models that bring none.")]
AlignedOption = Annotated[bool, typer.Option("--aligned", help="Pictures are aligned faces: do not search for any.")]


def add(app: typer.Typer) -> None:
    """Add the commands to the app."""

    @app.command(help="Perceived race, gender, age and landmarks of faces, into a parquet file of one row per picture.")
    def attributes(
        paths: PathsArgument = None, model: ModelOption = "fairforge-small", model_file: FileOption = "",
        out: Annotated[Path | None, typer.Option("--out", help="The parquet file to write.")] = None,
        all_faces: Annotated[bool, typer.Option("--all-faces", help="A row per face, not per picture.")] = False,
        aligned: AlignedOption = False,
        detector: Annotated[str, typer.Option("--detector", help="Face detector.")] = "mtcnn",
        landmarker: Annotated[str, typer.Option("--landmarker", help="Landmark model; empty for none.")] = "fairforge-mesh148",
        min_face_score: Annotated[float, typer.Option("--min-face-score", min=0, max=1)] = 0.9,
        frames: Annotated[int, typer.Option("--frames", min=1, help="Frames looked at per video; the best one counts.")] = 5,
        device: Annotated[str, typer.Option("--device")] = "cpu",
        json_: o.JsonOption = False, quiet: o.QuietOption = False,
    ) -> None:
        from manifests.errors import UsageError
        from pipeline.annotation import AnnotationSettings, annotate_paths

        settings = AnnotationSettings(
            model=model, model_file=model_file, landmarker=landmarker, detector=detector, device=device,
            min_face_score=min_face_score, all_faces=all_faces, aligned=aligned, frames=frames,
        )
        if not paths or out is None:
            raise UsageError("fairforge attributes", "needs pictures and --out", "fairforge attributes PATH... --out labels.parquet")
        value, text = annotate_paths(paths, out, settings, quiet)
        o.emit(value, text, json_)
