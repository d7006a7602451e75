"""Frozen networks for a generator's discriminator, one file each: `train-generator --feature-networks`."""

from __future__ import annotations

from typing import Any

from manifests.registry import Registry

FEATURE_NETWORKS: Registry[Any] = Registry("feature-networks", "pipeline.faces.feature_networks")
"""What it builds is a `generators.training.feature_networks.FeatureNetwork`."""
