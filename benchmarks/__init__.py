"""Benchmarks of the trainer and the service beside their peers.

``quality`` compares scores over a folder of tables, ``trainer`` compares speed and memory on
generated rows, ``serving`` compares servers. Each measurement is a process of its own, and each
peer has an environment of its own. The programs in ``peers`` run under a peer's interpreter and
import nothing of this project. Results name the machine, because figures of two machines can't
be compared.
"""
