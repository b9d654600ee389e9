"""Models at work: which ones are live, how new versions come in, and what is counted.

Threads and state belong here and nowhere below. Never imports Flask and knows nothing of HTTP.
"""
