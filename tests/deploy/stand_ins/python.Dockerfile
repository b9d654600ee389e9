# Debian's Python where the official image of that name has its own: in /usr/local, with pip,
# setuptools and wheel, and without compiled modules.
FROM pigeonhole-stand-in-debian
ENV LANG=C.UTF-8 \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
# The libraries that Python needs stay; what Debian adds to it for folders of its own is undone.
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends python3-pip python3-venv > /dev/null \
    && library=/usr/local/lib/python3.11 \
    && rm -rf $library && cp -a /usr/lib/python3.11 $library \
    && cp /usr/bin/python3.11 /usr/local/bin/ \
    && ln -s python3.11 /usr/local/bin/python3 \
    && ln -s python3 /usr/local/bin/python \
    && pip install -q --root-user-action ignore --no-compile --target $library/site-packages \
        "pip<25" "setuptools<80" "wheel<0.46" \
    && mv $library/site-packages/bin/* /usr/local/bin/ \
    && sed -i '1s#.*#\#!/usr/local/bin/python3#' /usr/local/bin/pip* /usr/local/bin/wheel \
    && rmdir $library/site-packages/bin \
    && ln -s site-packages $library/dist-packages \
    && sed -i "s/= 'posix_local'/= 'posix_prefix'/" $library/sysconfig.py \
    && rm $library/sitecustomize.py $library/EXTERNALLY-MANAGED \
    && find $library -name __pycache__ -prune -exec rm -r {} + \
    && dpkg --list | awk '$2 ~ /^(lib)?python3/ { print $2 }' | xargs dpkg --purge --force-all > /dev/null \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /usr/lib/python3* /usr/share/python* \
    && python -m pip --version
CMD ["python3"]
