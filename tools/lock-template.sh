#!/bin/sh
# Refreshes the lock of the service in the template: runs `make lock` in a service made from it.
set -eu
template=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cookiecutter --no-input --output-dir "$work" "$template" project_slug=service >/dev/null
make --no-print-directory -C "$work/service" lock
for lock in requirements.txt requirements-dev.txt; do
    cp "$work/service/$lock" "$template/{{cookiecutter.project_slug}}/"*"}$lock{"*
done
