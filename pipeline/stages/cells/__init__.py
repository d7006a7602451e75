"""Stage `cells`: the fit of demographic cells in latent space."""
