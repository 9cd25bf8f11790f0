# What stands in for dbmate's own image: the same program, built from its Go module, but for the
# drivers of other databases, which take many times as long to build.
FROM python:3.14-slim AS build
RUN --mount=type=secret,id=apt_sources,target=/etc/apt/sources.list.d/debian.sources \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates golang-go
ARG VERSION
# Where Debian's Go is too old for it, it fetches another.
ENV CGO_ENABLED=0 GOPATH=/go GOTOOLCHAIN=auto
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    go mod download "github.com/amacneil/dbmate/v2@v$VERSION" \
    && cp -r "/go/pkg/mod/github.com/amacneil/dbmate/v2@v$VERSION" /build \
    && sed -i -E '/driver\/(bigquery|clickhouse|mysql)"/d' /build/main.go \
    && go build -C /build -o /usr/local/bin/dbmate .

FROM python:3.14-slim
COPY --from=build /usr/local/bin/dbmate /usr/local/bin/
ENTRYPOINT ["dbmate"]
