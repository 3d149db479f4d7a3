"""Rows as TFRecords: how they are written, and how they are read."""
