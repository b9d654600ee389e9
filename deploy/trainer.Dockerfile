# The trainer. From the repository's root:
#   docker build -f deploy/trainer.Dockerfile -t pigeonhole-trainer .
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS base
# Remove installers, which scanners report and a running container does not need. The base's Python is in
# /usr/local (the official image) or in /usr (Debian's own). Compile the standard library, because the
# container's user can't store compiled files.
RUN packages=$(dirname "$(python -c 'import pip; print(*pip.__path__)')") \
    && library=$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))') \
    && rm -rf "$packages"/pip "$packages"/setuptools "$packages"/wheel "$packages"/pkg_resources \
        "$packages"/pip-*-info "$packages"/setuptools-*-info "$packages"/wheel-*-info \
        "$packages"/_distutils_hack "$packages"/distutils-precedence.pth "$library"/ensurepip \
        /usr/share/python-wheels /usr/bin/pip* /usr/bin/wheel* /usr/local/bin/pip* /usr/local/bin/wheel* \
        "$library"/idlelib "$library"/lib2to3 "$library"/test "$library"/tkinter "$library"/turtledemo \
        /var/cache/apt/* /var/lib/apt/lists/* /usr/share/man/* /usr/share/info/* /usr/share/locale/* \
    && find /usr/share/doc -type f -not -name copyright -delete \
    && for gone in pip setuptools wheel pkg_resources ensurepip; do ! python -c "import $gone" 2> /dev/null || exit 1; done \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash -x '/(site|dist)-packages/' "$library"

FROM ${BASE} AS packages
COPY deploy/requirements/trainer.txt /tmp/requirements.txt
# The base's pip installs from outside; the environment itself never holds pip.
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python --disable-pip-version-check \
        install --no-cache-dir --no-compile --only-binary :all: --require-hashes \
        --requirement /tmp/requirements.txt
# Remove tests, headers and stubs of the packages, and onnxruntime's tools and second copy of the engine
# (for C programs). Licenses stay.
RUN find /opt/venv/lib \( -name tests -o -path '*/onnx/backend/test' \
        -o -name '*.pyi' -o -name '*.pxd' -o -name '*.pyx' -o -name '*.h' -o -name '*.a' \) \
        -not -path '*.dist-info/*' -prune -exec rm -r {} + \
    && rm -rf /opt/venv/lib/python3*/site-packages/onnxruntime/quantization \
        /opt/venv/lib/python3*/site-packages/onnxruntime/tools \
        /opt/venv/lib/python3*/site-packages/onnxruntime/transformers \
        /opt/venv/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so.*
COPY LICENSE /app/
COPY pigeonhole/__init__.py pigeonhole/py.typed /app/pigeonhole/
COPY trainer /app/pigeonhole/trainer
# Readable for every user, whatever the checkout's umask.
RUN chmod -R a+rX /app \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib /app

# Start from scratch, so that removed files are in no layer.
FROM scratch
# hadolint ignore=DL3067
COPY --from=base / /
ENV PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONPATH=/app \
    PYTHONSAFEPATH=1 \
    MALLOC_ARENA_MAX=2 \
    ORT_DISABLE_TELEMETRY=1
COPY --from=packages /opt/venv /opt/venv
COPY --from=packages /app /app
RUN install --directory --owner 10001 --group 10001 /data /models
ENV MPLCONFIGDIR=/tmp/matplotlib
# With this working directory the default folder "models" is /models, as in the service.
WORKDIR /
USER 10001:10001
# Like Ctrl-C: it reports that nothing was published. As first process Python handles SIGINT, but not
# SIGTERM.
STOPSIGNAL SIGINT
ENTRYPOINT ["python", "-m", "pigeonhole.trainer"]
CMD ["--help"]
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Pigeonhole trainer" \
      org.opencontainers.image.description="Trains classifiers from tables and writes them as ONNX files." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
