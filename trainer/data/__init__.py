"""Tables: read, understood, cleaned and split. Knows pyarrow; never networks or graphs."""
