# What stands in for PostgreSQL's own image: Debian's server, with that one's variable, folder and port.
FROM python:3.14-slim
RUN --mount=type=secret,id=apt_sources,target=/etc/apt/sources.list.d/debian.sources \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    apt-get update \
    && apt-get install --yes --no-install-recommends postgresql \
    && rm -rf /var/lib/apt/lists/* /var/lib/postgresql/*
COPY --chmod=755 <<'EOT' /usr/local/bin/start
#!/bin/sh -eu
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
export PGDATA=/var/lib/postgresql/data
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    echo "${POSTGRES_PASSWORD:?}" > /tmp/password
    initdb --encoding=UTF8 --locale=C.UTF-8 --username=postgres --pwfile=/tmp/password \
        --auth-local=trust --auth-host=scram-sha-256
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
fi
exec postgres -c "listen_addresses=*"
EOT
USER postgres
EXPOSE 5432
VOLUME /var/lib/postgresql
STOPSIGNAL SIGINT
CMD ["start"]
