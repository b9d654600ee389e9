"""Programs for the interpreters of the peers, and what to install for each, pinned.

Those that learn are started as ``python FILE job.json`` and leave their answer in the folder that the job
names; those called ``serve_*`` serve a model file until they are stopped.
They import nothing of this project but each other.
"""
