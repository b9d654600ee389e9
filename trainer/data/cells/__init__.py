"""Cells of a column: text, levels, numbers, datetimes, decimal commas. Must not know files."""
