"""Floor 2: models at work - which are live, how new ones come in, what is counted.

Threads and state live here and nowhere else. Must never know Flask or HTTP.
"""
