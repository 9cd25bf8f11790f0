# What tests run beside the service: a compiler, a proxy, a load generator, a registry and
# Prometheus, all of Debian's, and what `make` needs on a machine whose python3 is this one.
FROM python:3.14-slim
RUN --mount=type=secret,id=apt_sources,target=/etc/apt/sources.list.d/debian.sources \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    apt-get update \
    && apt-get install --yes --no-install-recommends \
        docker-buildx docker-cli docker-registry gcc git libc6-dev make nginx prometheus wrk \
    && rm -rf /var/lib/apt/lists/*
