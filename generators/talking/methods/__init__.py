"""The forgeries of clips, one file each; see `generators.talking.base`."""
