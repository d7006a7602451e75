"""Stage `ablation`: variants of training by seeds."""
