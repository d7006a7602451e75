"""Stage `train`, training on any manifest, and fakes drawn anew at every step."""
