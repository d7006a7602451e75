"""What a detector consists of: backbones, heads, decoders, and the weights it starts from."""
