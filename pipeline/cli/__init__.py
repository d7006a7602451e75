"""The command line, one typer app. Commands import what they need when they run, so `--help` is quick."""

from pipeline.cli.app import build

__all__ = ["build"]
