"""Runs stages: configuration, shards, executors, run directories. It knows no stage."""
