"""The service beside its peers: the same model files, the same rows, the same load generator.

``models`` makes the files and ``protocols`` the requests, ``servers`` says how each server is
started and ``loads`` what it is asked, ``wrk`` asks. ``turn`` is one server's turn with one model,
``comparison`` all turns round by round, ``alone`` the runtime without a server; ``bars``, ``page``
and ``chart`` show what came out. The service is known by its command line; ``constant`` alone puts
something else into its server. ``restarts`` is a program of its own.
"""
