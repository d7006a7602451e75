"""What `fairforge talk` does: verified faces into talking clips, and fakes of them, balanced by cell."""
