"""A constant answer from nginx: what the loopback and the load generator allow at most."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from constant_answer import ANSWER

CONFIGURATION = """
daemon off;
worker_processes 2;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            default_type application/json;
            return 200 '{answer}';
        }}
    }}
}}
"""


def main() -> None:
    """Become nginx, on the port that the command line names."""
    folder = tempfile.mkdtemp()
    file = Path(folder) / "nginx.conf"
    file.write_text(CONFIGURATION.format(folder=folder, port=sys.argv[1], answer=ANSWER), "utf-8")
    os.execvp("nginx", ["nginx", "-p", folder, "-c", str(file)])  # noqa: S606, S607 - found on PATH


if __name__ == "__main__":
    main()
