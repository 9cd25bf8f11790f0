# python:3.14-slim with Python's headers. The official image has them; where one that stands in for
# it is made of Debian's Python, they are a package.
FROM python:3.14-slim
RUN --mount=type=secret,id=apt_sources,target=/etc/apt/sources.list.d/debian.sources \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    test -f "$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" \
    || { apt-get update && apt-get install --yes --no-install-recommends python3-dev \
        && rm -rf /var/lib/apt/lists/*; }
