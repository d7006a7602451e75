"""Commands that read faces: `attributes` (annotate pictures, measure a model) and `verification-policy`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli import options as o
from pipeline.cli.places import file_place

if TYPE_CHECKING:
    from pipeline.commands.attributes.annotation import AnnotationSettings

PathsArgument = Annotated[list[Path] | None, typer.Argument(help="Images, folders, videos, manifests.")]
ModelOption = Annotated[
    str, typer.Option("--model", help="Registered name, weight file, or ONNX description (.toml).")
]
FileOption = Annotated[str, typer.Option("--model-file", help="Your weights, for models that bring none.")]
DetectorOption = Annotated[str | None, typer.Option("--detector", help="Face detector (default mtcnn).")]
LandmarkerOption = Annotated[
    str | None,
    typer.Option("--landmarker", help="Landmark model (default fairforge-mesh148); empty for none."),
]
ScoreOption = Annotated[
    float | None,
    typer.Option("--min-face-score", min=0, max=1, help="Least score of the face detector (default 0.9)."),
]
FramesOption = Annotated[
    int | None,
    typer.Option(
        "--frames", min=1, max=100_000, help="Frames looked at per video (default 5); the best one counts."
    ),
]
AlignedOption = Annotated[
    bool, typer.Option("--aligned", help="Pictures are aligned faces: do not search for any.")
]


def measuring(settings: AnnotationSettings, data: Path) -> AnnotationSettings:
    """Settings that only measure: no landmarks; faces of a parquet file are aligned already."""
    from dataclasses import replace

    return replace(settings, landmarker="", aligned=settings.aligned or data.suffix == ".parquet")


def add(app: typer.Typer) -> None:
    """Add the commands to the app."""

    @app.command(
        help="Perceived race, gender, age and landmarks of faces, into a parquet file of one row per picture."
    )
    def attributes(
        paths: PathsArgument = None,
        model: ModelOption = "fairforge-small",
        model_file: FileOption = "",
        out: Annotated[
            Path | None, typer.Option("--out", callback=file_place, help="The parquet file to write.")
        ] = None,
        evaluate: Annotated[
            Path | None, typer.Option("--evaluate", help="Labelled faces to measure the model on.")
        ] = None,
        taxonomy: Annotated[
            str | None, typer.Option("--taxonomy", help="Of --evaluate; default: fairface4.")
        ] = None,
        all_faces: Annotated[
            bool, typer.Option("--all-faces", help="A row per face, not per picture.")
        ] = False,
        aligned: AlignedOption = False,
        detector: DetectorOption = None,
        landmarker: LandmarkerOption = None,
        min_face_score: ScoreOption = None,
        frames: FramesOption = None,
        device: o.ModelDeviceOption = "cpu",
        json_: o.JsonOption = False,
        quiet: o.QuietOption = False,
    ) -> None:
        from manifests.errors import UsageError
        from pipeline.commands.attributes.annotation import AnnotationSettings, annotate_paths

        if aligned or (evaluate is not None and evaluate.suffix == ".parquet"):
            o.refuse(
                "for aligned faces, which are not searched for",
                {"--detector": detector, "--min-face-score": min_face_score, "--all-faces": all_faces},
                "leave it out",
            )
        if evaluate is None:
            o.refuse("without --evaluate", {"--taxonomy": taxonomy}, "leave it out, or name labelled faces")
        else:
            o.refuse("with --evaluate", {"--landmarker": landmarker, "--frames": frames}, "leave it out")
        given: dict[str, Any] = {
            "detector": detector,
            "landmarker": landmarker,
            "min_face_score": min_face_score,
            "frames": frames,
        }
        settings = AnnotationSettings(
            model=model,
            model_file=model_file,
            device=device,
            all_faces=all_faces,
            aligned=aligned,
            **{name: value for name, value in given.items() if value is not None},
        )
        if evaluate is not None:
            from pipeline.commands.attributes.evaluation import evaluate_model

            if paths:
                raise UsageError(
                    "fairforge attributes", "annotates or evaluates, not both", "drop --evaluate or the paths"
                )
            value, text = evaluate_model(
                evaluate, taxonomy or "fairface4", measuring(settings, evaluate), out, quiet
            )
            o.emit(value, text, json_)
            return
        if not paths or out is None:
            fix = "fairforge attributes PATH... --out labels.parquet"
            raise UsageError("fairforge attributes", "needs pictures and --out", fix)
        value, text = annotate_paths(paths, out, settings, quiet)
        o.emit(value, text, json_)

    @app.command(
        "verification-policy",
        help="Choose confidence thresholds per cell for a precision, on labelled faces.",
    )
    def verification_policy(
        data: Annotated[Path, typer.Option("--data", help="Labelled faces: half chooses, half reports.")],
        out: Annotated[Path, typer.Option("--out", callback=file_place, help="The TOML file to write.")],
        target: Annotated[
            float, typer.Option("--target", min=0, max=1, help="Precision wanted of every cell.")
        ] = 0.95,
        taxonomy: Annotated[
            str, typer.Option("--taxonomy", help="Of the cells; see `fairforge list taxonomies`.")
        ] = "fairface4",
        model: ModelOption = "fairforge-small",
        model_file: FileOption = "",
        second_model: Annotated[
            str, typer.Option("--second-model", help="A model that must see the same cell.")
        ] = "",
        aligned: AlignedOption = False,
        seed: o.SeedOption = None,
        device: o.ModelDeviceOption = "cpu",
        json_: o.JsonOption = False,
        quiet: o.QuietOption = False,
    ) -> None:
        from pipeline.commands.attributes.annotation import AnnotationSettings
        from pipeline.commands.attributes.policy import make_policy

        settings = measuring(
            AnnotationSettings(model=model, model_file=model_file, aligned=aligned, device=device), data
        )
        value, text = make_policy(data, target, out, taxonomy, settings, second_model, seed or 0, quiet)
        o.emit(value, text, json_)

    @app.command(
        help=(
            "Identity embeddings of a manifest's images into a parquet file beside it; identities that are"
            " there twice."
        )
    )
    def identities(
        manifest: Annotated[Path, typer.Argument(help="A manifest, or its folder.")],
        out: Annotated[
            Path | None,
            typer.Option(
                "--out", callback=file_place, help="Default: identities.parquet beside the manifest."
            ),
        ] = None,
        index: Annotated[
            Path | None, typer.Option("--index", help="An index of `identity-index` to compare with.")
        ] = None,
        duplicate_distance: Annotated[
            float,
            typer.Option(
                "--duplicate-distance", min=0, max=2, help="Identities nearer than this are one and the same."
            ),
        ] = 0.25,
        identity_model: Annotated[
            str, typer.Option("--identity-model", help="A model that embeds identities.")
        ] = "dlib-resnet",
        device: o.ModelDeviceOption = "cpu",
        json_: o.JsonOption = False,
        quiet: o.QuietOption = False,
    ) -> None:
        from pipeline.commands.identities.companion import write_identities
        from pipeline.engine.progress import Reporter

        value, text = write_identities(
            manifest,
            out,
            identity_model=identity_model,
            device=device,
            index_file=index,
            duplicate_distance=duplicate_distance,
            reporter=Reporter(quiet=quiet),
        )
        o.emit(value, text, json_)
