#!/bin/sh
# Makes a service with the default answers, runs it, and shows its response: in its image, whose size it
# prints, or, without a Docker engine, under gunicorn in a virtual environment.
set -eu
template=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
container=
server=
cleanup() {
    test -z "$container" || docker rm --force --volumes "$container" >/dev/null
    test -z "$server" || kill "$server" && wait "$server" 2>/dev/null || true
    container= server=
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

ask() {
    python3 - "$1" <<'PYTHON'
import sys
import time
from urllib.request import ProxyHandler, build_opener

opener = build_opener(ProxyHandler({}))
for attempt in range(100):
    try:
        print(opener.open(sys.argv[1]).read().decode())
        break
    except OSError:
        time.sleep(0.1)
else:
    sys.exit(f"{sys.argv[1]} did not answer in 10 s")
PYTHON
}

cookiecutter --no-input --output-dir "$work" "$template" project_slug=demo
cd "$work/demo"
if docker info >/dev/null 2>&1; then
    make docker IMAGE=cookiecutter-falcon-gunicorn-demo
    container=$(docker run --detach --read-only --cap-drop ALL --security-opt no-new-privileges \
        --publish 127.0.0.1::8000 cookiecutter-falcon-gunicorn-demo)
    url="http://$(docker port "$container" 8000/tcp | head -n 1)/"
    answer=$(ask "$url")
    bytes=$(docker export "$container" | wc -c)
    where="its image, of $((bytes / 1000000)) MB as one tar archive (10^6 bytes, docker export)"
else
    echo "No Docker engine was found, so the service runs under gunicorn in a virtual environment."
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    make .venv/installed
    make run PORT="$port" &
    server=$!
    url="http://127.0.0.1:$port/"
    answer=$(ask "$url")
    where="a virtual environment"
fi
cleanup
echo "The service answered GET $url from $where:"
echo "$answer"
