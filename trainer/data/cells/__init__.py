"""One cell of a table: text, levels, numbers, dates and decimal commas. Knows no column or file."""
