"""What `fairforge talk` does: verified faces into talking clips, and fakes of them, balanced by cell."""

RECORDS = "clips.json"
"""How each clip was made, by its id, beside the manifest: sentences and voice, or the forgery's parameters,
and the faces."""
CLIPS = "talk"
"""Of a run of `fairforge talk`, what stands in place of `pair`: its dataset is of clips."""
AGAIN = "the same `fairforge talk` command"
"""What makes clips again that failed."""
