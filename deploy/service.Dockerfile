# The service, with the sample models. From the repository's root:
#   docker build -f deploy/service.Dockerfile -t pigeonhole-service .
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS base
# What installs packages is not for an image that runs: scanners would report it. The official image has
# it beside its Python in /usr/local; Debian's own Python, in /usr, will do as a base too. The official
# one brings its standard library uncompiled, and the user could not store what each start would compile.
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
# A file of deploy/requirements: what the image holds beside the service's own code.
ARG REQUIREMENTS=service-tracing
COPY deploy/requirements/${REQUIREMENTS}.txt /tmp/requirements.txt
# The base's pip fills the environment from outside: there never is one in it.
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python --disable-pip-version-check \
        install --no-cache-dir --no-compile --only-binary :all: --require-hashes \
        --requirement /tmp/requirements.txt
# Tests, headers and stubs of the packages, and of onnxruntime the engine's second copy, for programs
# in C, and tools that need more than is here. Licences stay.
RUN find /opt/venv/lib \( -name tests -o -path '*/onnx/backend/test' \
        -o -name '*.pyi' -o -name '*.pxd' -o -name '*.pyx' -o -name '*.h' -o -name '*.a' \) \
        -not -path '*.dist-info/*' -prune -exec rm -r {} + \
    && rm -rf /opt/venv/lib/python3*/site-packages/onnxruntime/quantization \
        /opt/venv/lib/python3*/site-packages/onnxruntime/tools \
        /opt/venv/lib/python3*/site-packages/onnxruntime/transformers \
        /opt/venv/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so.*
COPY LICENSE /app/
COPY pigeonhole/__init__.py pigeonhole/py.typed /app/pigeonhole/
COPY service /app/pigeonhole/service
# Whoever runs it may read it, whatever the mask of whoever checked it out.
RUN chmod -R a+rX /app \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib /app

# Started from nothing, so that what was removed is in no layer below.
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
COPY --chown=10001:10001 models /models
ENV PIGEONHOLE_MODELS=/models \
    PIGEONHOLE_HOST=0.0.0.0 \
    PIGEONHOLE_PORT=8000
WORKDIR /app
USER 10001:10001
# Everything that is needed is there: the models load, and answer as when they were made.
RUN ["python", "-m", "pigeonhole.service", "check", "--host", "127.0.0.1"]
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-m", "pigeonhole.service", "probe"]
ENTRYPOINT ["python", "-m", "pigeonhole.service"]
CMD ["serve"]
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Pigeonhole service" \
      org.opencontainers.image.description="Serves trained ONNX classifiers over HTTP." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
