"""The typer app: stage verbs, and commands that look, list, train models and check."""

from __future__ import annotations

import typer


def build() -> typer.Typer:
    """The whole app."""
    from pipeline.cli import (
        attribute_commands,
        av_commands,
        cell_commands,
        evaluation_commands,
        generator_commands,
        generators_group,
        import_command,
        look_commands,
        measure_commands,
        model_commands,
        prediction_commands,
        stage_commands,
        talk_command,
    )

    app = typer.Typer(
        name="fairforge",
        no_args_is_help=True,
        add_completion=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        help=(
            "Demographically balanced, verified real/fake face datasets, and detectors that are fair on them."
        ),
    )
    cell_commands.add(app)
    stage_commands.add(app)
    look_commands.add(app)
    model_commands.add(app)
    import_command.add(app)
    prediction_commands.add(app)
    generator_commands.add(app)
    measure_commands.add(app)
    generators_group.add(app)
    evaluation_commands.add(app)
    attribute_commands.add(app)
    av_commands.add(app)
    talk_command.add(app)
    return app
