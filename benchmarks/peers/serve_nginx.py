"""A constant response from nginx: the ceiling of loopback and load generator."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from constant_response import RESPONSE

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
            return 200 '{response}';
        }}
    }}
}}
"""


def main() -> None:
    """Replace this process by nginx on the port in the command line."""
    folder = tempfile.mkdtemp()
    file = Path(folder) / "nginx.conf"
    file.write_text(
        CONFIGURATION.format(folder=folder, port=sys.argv[1], response=RESPONSE), "utf-8"
    )
    os.execvp("nginx", ["nginx", "-p", folder, "-c", str(file)])  # noqa: S606, S607 - found on the PATH


if __name__ == "__main__":
    main()
