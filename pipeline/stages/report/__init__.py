"""Stage `report`: one page about the run."""
