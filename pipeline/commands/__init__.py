"""What a command does without a run; `pipeline.cli` parses and prints."""
