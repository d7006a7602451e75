"""What the torch packages share: nothing of faces. Its modules import torch only inside functions, so that settings stay light."""
