"""Stage `pair`: the balanced dataset."""
