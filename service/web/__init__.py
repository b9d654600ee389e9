"""Floor 3: HTTP - routes, protocols, pages. The only floor that knows Flask.

A route translates a request into the words of the floors below, makes one call, and translates
the answer back. A decision about models belongs one floor down.
"""
