"""The stages: a folder each, whose module `stage` registers it in `pipeline.engine.stages.STAGES`."""
