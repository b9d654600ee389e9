"""Programs that run under the peers' interpreters, and pinned requirements for each peer.

The programs that fit (`fit_*`, `epochs_*`) run as ``python FILE job.json``. The programs that serve
(`serve_*`) serve a model file until they are stopped. They import each other, and nothing else of
this project.
"""
