"""Days and weeks of a detector's data: the calendar, what is usual by it, and how a model tells of it."""
