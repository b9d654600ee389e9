# Debian's nginx, as the official image for users other than root runs it.
FROM pigeonhole-stand-in-debian
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends nginx-light > /dev/null \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
USER 101
EXPOSE 8080
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
