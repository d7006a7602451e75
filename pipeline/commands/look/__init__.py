"""`fairforge look`: a manifest or a run as files that Renumics Spotlight and FiftyOne open, and the start of
the one that is there.

from pipeline.commands.look import write_look
found = write_look(Path("runs/demo"), Path("look"))
"""

from __future__ import annotations

from pipeline.commands.look.opening import command_of, open_look, start
from pipeline.commands.look.writing import Look, write_look

__all__ = ["Look", "command_of", "open_look", "start", "write_look"]
