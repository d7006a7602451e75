"""Training a detector: batches, augmentation, optimizers, the loop, several processes."""
