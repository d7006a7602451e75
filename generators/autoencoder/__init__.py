"""A small autoencoder of faces: what the decoder of a generating network leaves in a picture, without a
forger's network.
"""
