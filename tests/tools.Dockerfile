# What tests run beside the service: a compiler, a proxy and a load generator, all of Debian's.
FROM python:3.13-slim
RUN --mount=type=secret,id=apt_sources,target=/etc/apt/sources.list.d/debian.sources \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev nginx wrk \
    && rm -rf /var/lib/apt/lists/*
