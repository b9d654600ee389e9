"""Scores and seconds of the trainer and its peers over a folder of tables.

``tables`` finds them, ``splits`` writes one split of each for all methods alike, ``methods`` lets
one method answer a split in a process of its own, ``scores`` scores every answer by the same code,
``records`` keeps what came out, ``summary`` reckons over it, ``page`` and ``chart`` show it.
"""
