# Debian's Prometheus, with the paths, the user and the entry point of the official image.
FROM pigeonhole-stand-in-debian
WORKDIR /prometheus
RUN apt-get update -qq \
    && cd /tmp \
    && apt-get download -qq prometheus \
    && dpkg --extract prometheus_*.deb unpacked \
    && mv unpacked/usr/bin/prom* /bin/ \
    && mv unpacked/usr/share/prometheus /usr/share/ \
    && rm -rf unpacked prometheus_*.deb /var/lib/apt/lists/* /var/cache/apt/* \
    && mkdir /etc/prometheus \
    && chown -R nobody:nogroup /prometheus /etc/prometheus \
    && prometheus --version
USER nobody
EXPOSE 9090
VOLUME ["/prometheus"]
ENTRYPOINT ["/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
