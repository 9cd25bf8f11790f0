# The article's images on bases with apt: --target one-stage and --target two-stages.
# Each secret is optional, and mounted where the template's Dockerfile has it, so that both build
# in the same networks.
ARG BASE

FROM ${BASE} AS with-git
WORKDIR /app
COPY requirements.txt .
# Where the base has git, this installs nothing; the slim one has no lists of packages either.
RUN --mount=type=secret,id=apt_sources,target=/etc/apt/sources.list.d/debian.sources \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    { command -v git || apt-get update; } && apt-get install -y git

FROM with-git AS one-stage
ARG PIP_CERT=/etc/ssl/certs/ca-certificates.crt
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=git_config,target=/root/.gitconfig \
    --mount=type=secret,id=netrc,target=/root/.netrc \
    --mount=type=secret,id=pip_config,target=/etc/pip.conf \
    --mount=type=secret,id=pip_index_url,env=PIP_INDEX_URL \
    pip3 install --no-cache-dir -r requirements.txt
COPY ex_serv.py .
CMD ["gunicorn", "-b", "0.0.0.0:80", "ex_serv:app"]

FROM with-git AS build
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
ARG PIP_CERT=/etc/ssl/certs/ca-certificates.crt
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=git_config,target=/root/.gitconfig \
    --mount=type=secret,id=netrc,target=/root/.netrc \
    --mount=type=secret,id=pip_config,target=/etc/pip.conf \
    --mount=type=secret,id=pip_index_url,env=PIP_INDEX_URL \
    pip3 install --no-cache-dir -r requirements.txt
RUN pip3 uninstall -y pip setuptools packaging

FROM ${BASE} AS two-stages
WORKDIR /app
COPY ex_serv.py .
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
VOLUME /data
CMD ["gunicorn", "-b", "0.0.0.0:80", "ex_serv:app"]
