"""Trainer and service beside their peers, each in an environment and a process of its own.

``quality`` compares scores and seconds over a folder of tables, ``trainer`` compares speed and
memory on generated rows, ``serving`` compares servers. They know the trainer; the service is known to
``serving.constant`` alone. What stands in ``peers`` is run
by a peer's interpreter and imports nothing of this project. Nothing here is a test: machines
differ, so results are kept beside the machine that gave them.
"""
