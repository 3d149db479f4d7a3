"""The log: events, windows, vocabularies, rows."""
