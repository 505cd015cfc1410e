"""Which steps of events are sent, and what is told in their place: mutes, incidents of many streams, caps of a day."""
