# A browser, and what does in it what people do, all of Debian's: see browse.py.
FROM python:3.14-slim
RUN --mount=type=secret,id=apt_sources,target=/etc/apt/sources.list.d/debian.sources \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    apt-get update \
    && apt-get install --yes --no-install-recommends chromium chromium-driver python3-selenium \
    && rm -rf /var/lib/apt/lists/*
COPY browse.py /
ENTRYPOINT ["/usr/bin/python3", "/browse.py"]
