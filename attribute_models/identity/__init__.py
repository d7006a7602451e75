"""Is this the same person? Embeddings of faces, and an index of them."""
