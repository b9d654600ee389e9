"""Tables: read, infer, encode, examine, split, each step from the result of the step before.

Knows pyarrow; must not know networks or graphs.
"""
