"""Speed and memory of the trainer beside its peers.

``rows`` generates what is learned from, ``epochs`` times passes over it, ``fits`` a whole fit from
table to file, ``memory`` a table of a million rows; ``page`` and ``chart`` show what came out.
"""
