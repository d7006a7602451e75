"""`fairforge release`, with `--sign`; on folders that are released `check-release`, `diff-release`, `upload`,
`download`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options as o

HELP = "Make a folder another lab can load, check and cite; with --sign, its images are signed (C2PA)."
SignOption = Annotated[
    tuple[Path, Path] | None,
    typer.Option(
        "--sign",
        metavar="CERT KEY",
        help=(
            "PEM files of who signs the images, real and fake alike: the certificate with its issuers, and"
            " the key."
        ),
    ),
]


def add(app: typer.Typer) -> None:
    """Add `release` to the app."""

    @app.command("release", help=HELP)
    def release(
        out: o.OutOption = o.DEFAULT_OUT,
        sign: SignOption = None,
        config: o.ConfigOption = None,
        set_: o.SetOption = None,
        workers: o.WorkersOption = None,
        executor: o.ExecutorOption = None,
        device: o.DeviceOption = None,
        shard: o.ShardOption = None,
        seed: o.SeedOption = None,
        limit: o.LimitOption = None,
        allow_short: o.ShortOption = False,
        dry_run: o.DryOption = False,
        fresh: o.FreshOption = False,
        json_: o.JsonOption = False,
        quiet: o.QuietOption = False,
    ) -> None:
        from pipeline.cli.performing import perform

        sets = [*(set_ or []), *([f"release.sign={json.dumps(list(map(str, sign)))}"] if sign else [])]
        shared = o.Shared(config, sets, out, workers, shard, executor, device, seed, limit, allow_short)
        perform(shared, "release", "release", fresh=fresh, dry=dry_run, as_json=json_, quiet=quiet)


def add_folders(app: typer.Typer) -> None:
    """Add the commands on folders that are released."""

    @app.command(
        "check-release",
        help="Is a released folder whole? Files, pictures, papers, Croissant records, signatures.",
    )
    def check_release(
        folder: Annotated[Path, typer.Argument(help="A release folder.")], json_: o.JsonOption = False
    ) -> None:
        from pipeline.commands.datasets import check_folder

        value, text = check_folder(folder)
        o.emit(value, text, json_)
        if value:
            raise typer.Exit(4)

    @app.command(
        "diff-release", help="What differs between two versions of a release, and does the newer one say so?"
    )
    def diff_release(
        old: Annotated[Path, typer.Argument(help="The older release folder.")],
        new: Annotated[Path, typer.Argument(help="The newer release folder.")],
        json_: o.JsonOption = False,
    ) -> None:
        from pipeline.commands.datasets import diff_folders

        value, text = diff_folders(old, new)
        o.emit(value, text, json_)
        if value["findings"]:
            raise typer.Exit(4)

    @app.command("upload", help="Send a release or another folder to a URL (s3://...); resumed by digest.")
    def upload(
        folder: Annotated[Path, typer.Argument(help="A release, or another folder.")],
        url: Annotated[str, typer.Argument(help="Where to, such as s3://bucket/name.")],
        json_: o.JsonOption = False,
    ) -> None:
        from pipeline.commands.remote import upload_folder

        o.emit(*upload_folder(folder, url), json_)

    @app.command("download", help="Fetch what was uploaded to a URL, checked by digest; resumed.")
    def download(
        url: Annotated[str, typer.Argument(help="Where from, such as s3://bucket/name.")],
        folder: Annotated[Path, typer.Argument(help="Where to; made if needed.")],
        json_: o.JsonOption = False,
    ) -> None:
        from pipeline.commands.remote import download_folder

        o.emit(*download_folder(url, folder), json_)
