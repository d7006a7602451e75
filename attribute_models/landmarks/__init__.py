"""Dense landmarks of aligned faces."""
