"""The tables beside the events: their curves, mutes, and what is held back from the sinks.

curves: of an event, JSON. mutes: by hand. held: events that are open and not sent, and why: "muted", "incident" or
"capped"; "joined" are those of an incident that were sent before there was one. openings: of events that were sent
lately, by cause. daily: events of a stream and day that were sent. incidents: events of one cause, of many streams or
of one, as their last record and what it is made of.
"""

from __future__ import annotations

__all__ = ["ALARM_TABLES"]

ALARM_TABLES = """
CREATE TABLE IF NOT EXISTS curves (
    number INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL UNIQUE, curve TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS mutes (
    number INTEGER PRIMARY KEY AUTOINCREMENT, pattern TEXT NOT NULL, made INTEGER NOT NULL, until INTEGER NOT NULL,
    reason TEXT NOT NULL, author TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS held (
    event TEXT PRIMARY KEY, stream TEXT NOT NULL, why TEXT NOT NULL, incident TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS held_by_why ON held (why, event);
CREATE TABLE IF NOT EXISTS openings (
    number INTEGER PRIMARY KEY, cause TEXT NOT NULL, time INTEGER NOT NULL, stream TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS openings_by_cause ON openings (cause, time);
CREATE TABLE IF NOT EXISTS daily (
    stream TEXT NOT NULL, day INTEGER NOT NULL, events INTEGER NOT NULL, PRIMARY KEY (stream, day)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS incidents (
    id TEXT PRIMARY KEY, cause TEXT NOT NULL, last INTEGER NOT NULL, open INTEGER NOT NULL, record TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS incidents_by_cause ON incidents (cause, last);
"""
