"""`fairforge identities` and `identity-index`."""
