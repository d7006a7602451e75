"""Stage `forge`: fakes of every accepted face."""
