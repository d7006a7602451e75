"""What the stage `forge` and the command `forge` need beside the forgeries: partners, and quality gates for each fake."""
