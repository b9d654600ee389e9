"""Programs for the interpreters of the peers, and what to install for each, pinned.

Each is started as ``python FILE job.json`` and leaves its answer in the folder that the job names.
They import nothing of this project but each other.
"""
