"""Commands about scores: fairness of anybody's scores, the comparison of two detectors, tables,
robustness.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options as o
from pipeline.cli.places import file_place, folder_place

GroupOption = Annotated[str, typer.Option("--group", help="Columns of groups, comma between.")]
LabelOption = Annotated[str, typer.Option("--label", help="Column of the label: 0 or real, 1 or fake.")]
ScoreOption = Annotated[str, typer.Option("--score", help="Column of the fake probability.")]
KeyOption = Annotated[str, typer.Option("--key", help="Column that names a row.")]
ThresholdOption = Annotated[
    float, typer.Option("--threshold", min=-1e9, max=1e9, help="Called fake from here on.")
]
MaybeThreshold = Annotated[
    float | None,
    typer.Option("--threshold", min=-1e9, max=1e9, help="Called fake from here on; default 0.5."),
]
MinOption = Annotated[
    int,
    typer.Option("--min-n", min=1, max=10_000_000, help="Fewest identities or videos of a group in a gap."),
]
ReplicatesOption = Annotated[
    int,
    typer.Option(
        "--replicates", min=0, max=100_000, help="Data sets drawn, and permutations; 0: no intervals."
    ),
]
TiesOption = Annotated[
    str,
    typer.Option(
        "--ties",
        help="What a tie counts: random, a share drawn from scores and seed (exact level); mid, a half.",
    ),
]
LevelOption = Annotated[
    str, typer.Option("--level", help="frame, or video: the mean score of a video's frames.")
]
FormatOption = Annotated[
    str | None, typer.Option("--format", help="On stdout: md (default), csv, tex, html or json.")
]
PairOption = Annotated[
    int, typer.Option("--replicates", min=2, max=100_000, help="Of the bootstrap and of the exchange test.")
]


def _write(folder: Path | None, name: str, files: dict[str, str]) -> None:
    from manifests.atomic import write_text

    for suffix, text in (files if folder else {}).items():
        write_text(Path(str(folder)) / f"{name}.{suffix}", text)


def add(app: typer.Typer) -> None:
    """Add the evaluation commands to the app."""

    @app.command(
        help="Utility and fairness of scores in a CSV or parquet: gaps, intervals, what is not estimable."
    )
    def fairness(
        scores: Annotated[Path, typer.Argument(help="CSV or parquet with labels, scores and groups.")],
        group: GroupOption = "race,gender",
        label: LabelOption = "label",
        score: ScoreOption = "score",
        key: KeyOption = "image_id",
        mode: Annotated[str, typer.Option("--mode", help="corrected or purdue.")] = "corrected",
        threshold: MaybeThreshold = None,
        min_n: MinOption = 5,
        replicates: ReplicatesOption = 500,
        seed: o.SeedOption = None,
        ties: TiesOption = "random",
        json_: o.JsonOption = False,
    ) -> None:
        from typing import Literal, cast

        from pipeline.stages.evaluate.measuring import Measure
        from pipeline.stages.evaluate.score_files import Columns
        from pipeline.stages.evaluate.score_reports import fairness_of_scores

        columns = Columns(label, score, key, tuple(name.strip() for name in group.split(",")))
        measure = Measure(
            cast(Literal["corrected", "purdue"], mode),
            min_n,
            replicates,
            seed or 0,
            cast(Literal["mid", "random"], ties),
        )
        value, text = fairness_of_scores(scores, columns, threshold, measure)
        o.emit(value, text, json_)

    @app.command(
        help="Two detectors on the same images: differences in AUC and each gap by a paired bootstrap."
    )
    def compare(
        a: Annotated[Path, typer.Argument(help="Scores of A: CSV, parquet, or a run's folder.")],
        b: Annotated[Path, typer.Argument(help="Scores of B.")],
        group: GroupOption = "race,gender,cell",
        label: LabelOption = "label",
        score: ScoreOption = "score",
        key: KeyOption = "image_id",
        threshold_a: Annotated[
            float | None, typer.Option("--threshold-a", min=-1e9, max=1e9, help="Of A; default 0.5.")
        ] = None,
        threshold_b: Annotated[
            float | None, typer.Option("--threshold-b", min=-1e9, max=1e9, help="Of B; default 0.5.")
        ] = None,
        min_n: MinOption = 5,
        replicates: PairOption = 1000,
        seed: o.SeedOption = None,
        level: LevelOption = "frame",
        ties: TiesOption = "random",
        out: Annotated[
            Path | None,
            typer.Option(
                "--out", callback=folder_place, help="Folder for comparison.md and comparison.json."
            ),
        ] = None,
        json_: o.JsonOption = False,
    ) -> None:
        import json

        from pipeline.stages.evaluate.score_files import Columns
        from pipeline.stages.evaluate.score_reports import compare_scores

        columns = Columns(label, score, key, tuple(name.strip() for name in group.split(",")))
        value, text = compare_scores(
            a, b, columns, (threshold_a, threshold_b), min_n, replicates, seed or 0, level, ties
        )
        _write(out, "comparison", {"md": text, "json": json.dumps(value, indent=1, sort_keys=True)})
        o.emit(value, text, json_)

    @app.command(
        help=(
            "Detectors by datasets: AUC and EER beside the gaps, a constant predictor, intra and cross"
            " marked."
        )
    )
    def table(
        runs: Annotated[list[Path], typer.Argument(help="Runs, or results.json files.")],
        name: Annotated[
            list[str] | None, typer.Option("--name", help="Of each detector, in order (repeatable).")
        ] = None,
        gap: Annotated[str, typer.Option("--gap", help="Gaps to show, comma between.")] = "F_FPR,F_MEO",
        group: Annotated[str, typer.Option("--group", help="race, gender or cell.")] = "cell",
        level: LevelOption = "frame",
        format_: FormatOption = None,
        out: Annotated[
            Path | None,
            typer.Option("--out", callback=folder_place, help="Folder for the table in every format."),
        ] = None,
        json_: o.JsonOption = False,
    ) -> None:
        from manifests.errors import UsageError
        from pipeline.commands.evaluate.table import cross_table
        from pipeline.commands.evaluate.table_formats import FORMATS, as_value

        if json_:
            o.refuse("beside --json", {"--format": format_}, "give one of them")
        format_ = format_ or "md"
        if format_ not in FORMATS:
            raise UsageError(f"format {format_!r}", "is not known", f"choose one of: {', '.join(FORMATS)}")
        made = cross_table(runs, name or [], [g.strip() for g in gap.split(",")], group, level)
        _write(out, "table", {suffix: render(made) for suffix, render in FORMATS.items()})
        o.emit(as_value(made), FORMATS[format_](made).rstrip("\n"), json_)

    @app.command(
        "detector-card",
        help="A detector's model card as Markdown, out of evaluations of it: cells, qualities, failures.",
    )
    def detector_card(
        evaluations: Annotated[
            list[Path], typer.Argument(help="Folders of `evaluate --checkpoint ... --manifest ...`.")
        ],
        checkpoint: Annotated[
            Path,
            typer.Option("--checkpoint", help="The detector: its file, its training's folder, or a name."),
        ],
        out: Annotated[Path, typer.Option("--out", callback=file_place, help="The Markdown file to write.")],
        perturb: Annotated[
            str | None,
            typer.Option(
                "--perturb",
                help="What real images are put through; default: blurred, dark, small, JPEG 30, c40-like.",
            ),
        ] = None,
        images: Annotated[
            int,
            typer.Option(
                "--images", min=1, max=10_000_000, help="Most real images of a dataset put through it."
            ),
        ] = 500,
        replicates: ReplicatesOption = 500,
        seed: o.SeedOption = None,
        device: o.ModelDeviceOption = "cpu",
        json_: o.JsonOption = False,
    ) -> None:
        from pipeline.commands.evaluate.card import QUALITIES, write_card

        value, text = write_card(
            evaluations, checkpoint, out, perturb or QUALITIES, images, replicates, seed or 0, device
        )
        o.emit(value, text, json_)

    @app.command(
        "causal-check",
        help="Changes one suspect feature (codec, size, border, noise, ...) and sees the scores move.",
    )
    def causal(
        checkpoint: Annotated[
            Path, typer.Option("--checkpoint", help="A detector: its file, its folder, or a name.")
        ],
        manifest: Annotated[Path, typer.Option("--manifest", help="A manifest, or its folder.")],
        feature: Annotated[
            list[str] | None,
            typer.Option(
                "--feature",
                help="A suspect that the audit named (bytes, border, red, ...); repeat it; default: all.",
            ),
        ] = None,
        split: Annotated[str, typer.Option("--split", help="train, val, test or all.")] = "test",
        threshold: ThresholdOption = 0.5,
        move: Annotated[
            float, typer.Option("--move", min=0, max=1, help="A mean change of the score beyond it counts.")
        ] = 0.1,
        replicates: Annotated[
            int, typer.Option("--replicates", min=10, max=100_000, help="Bootstrap over pairs.")
        ] = 500,
        seed: o.SeedOption = None,
        device: o.ModelDeviceOption = "cpu",
        out: Annotated[
            Path | None, typer.Option("--out", callback=folder_place, help="Folder for causal.json.")
        ] = None,
        json_: o.JsonOption = False,
    ) -> None:
        from pipeline.commands.evaluate.causal_check import causal_check

        part = None if split == "all" else split
        value, text = causal_check(
            checkpoint, manifest, out, part, feature or [], threshold, move, replicates, seed or 0, device
        )
        o.emit(value, text, json_)

    @app.command(
        help="Utility and gaps of a detector against JPEG, H.264, blur, resizing, brightness and noise."
    )
    def robustness(
        checkpoint: Annotated[
            Path, typer.Option("--checkpoint", help="A detector: its file, its folder, or a name.")
        ],
        manifest: Annotated[Path, typer.Option("--manifest", help="A manifest, or its folder.")],
        split: Annotated[str, typer.Option("--split", help="train, val, test or all.")] = "test",
        perturb: Annotated[
            str,
            typer.Option("--perturb", help="Names, with strengths after colons: jpeg:90:50,h264:23:40,blur."),
        ] = "jpeg,blur,resize,brightness,noise",
        threshold: ThresholdOption = 0.5,
        min_n: MinOption = 5,
        replicates: ReplicatesOption = 0,
        seed: o.SeedOption = None,
        device: o.ModelDeviceOption = "cpu",
        out: Annotated[
            Path | None,
            typer.Option(
                "--out", callback=folder_place, help="Folder for robustness.md and robustness.json."
            ),
        ] = None,
        json_: o.JsonOption = False,
    ) -> None:
        from pipeline.commands.evaluate.robustness import robustness as sweep

        part = None if split == "all" else split
        value, text = sweep(
            checkpoint, manifest, out, part, perturb, threshold, min_n, replicates, seed or 0, device
        )
        o.emit(value, text, json_)
