"""Tokens are checked with the keys of an issuer, which changes them, fails, hangs and returns."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPResponse
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pages import Recipe
from servers import Handler, serving
from services import Running
from support import free_port

pytestmark = pytest.mark.image

Answer = tuple[HTTPResponse, bytes]
AUDIENCE, ISSUER = "greetings", "https://issuer.example"
INVALID = 'Bearer error="invalid_token"'
REFUSED = [
    "garbage",
    "of a head that is nested deeply",
    "changed",
    "none",
    "HS256 with the public key",
    "of an algorithm that is not ours",
    "with an unknown key",
    "without a key's name",
    "with the name of another key",
    "with a short key",
    "expired",
    "not yet valid",
    "for another service",
    "of another issuer",
    *(f"without {claim}" for claim in ("exp", "iss", "aud", "sub")),
]

# Prints public keys, and tokens; it runs where PyJWT is, with the service's tools.
MINT = """
import base64, hashlib, hmac, json, time
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

names = ("rsa", "ps", "other", "new", "unknown")
keys = {name: rsa.generate_private_key(65537, 2048) for name in names}
keys["short"] = rsa.generate_private_key(65537, 1024)
keys["ec"] = ec.generate_private_key(ec.SECP256R1())
now = time.time()
base = {"iss": ISSUER, "aud": AUDIENCE, "sub": "Ada", "exp": now + 3600, "scope": "read write"}

def sign(name="rsa", algorithm="RS256", head=None, **changed):
    claims = {name: value for name, value in {**base, **changed}.items() if value is not None}
    return jwt.encode(claims, keys[name], algorithm, {"kid": name} if head is None else head)

def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

public = keys["rsa"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
hs256 = encode(b'{"alg":"HS256","kid":"rsa"}') + "." + sign().split(".")[1]
head, claims, signature = sign().split(".")
tokens = {
    "RS256": sign(),
    "ES256": sign("ec", "ES256"),
    "of a list of audiences": sign(aud=["other", AUDIENCE]),
    "new": sign("new"),
    "garbage": "garbage",
    "of a head that is nested deeply": f"{encode(b'[' * 5000)}.{claims}.{signature}",
    "changed": f"{head}.{sign(sub='Eve').split('.')[1]}.{signature}",
    "none": jwt.encode(base, None, "none", {"kid": "rsa"}),
    "HS256 with the public key":
        f"{hs256}.{encode(hmac.digest(public, hs256.encode(), hashlib.sha256))}",
    "of an algorithm that is not ours": sign("ps", "PS256"),
    "with an unknown key": sign("unknown"),
    "without a key's name": sign(head={}),
    "with the name of another key": sign(head={"kid": "other"}),
    "with a short key": sign("short"),
    "expired": sign(exp=now - 60),
    "not yet valid": sign(nbf=now + 3600),
    "for another service": sign(aud="other"),
    "of another issuer": sign(iss=f"{ISSUER}/"),
    **{f"without {claim}": sign(**{claim: None}) for claim in ("exp", "iss", "aud", "sub")},
}
jwks = {}
for name, key in keys.items():
    kind = ECAlgorithm if name == "ec" else RSAAlgorithm
    jwks[name] = {**kind.to_jwk(key.public_key(), as_dict=True), "kid": name, "use": "sig"}
jwks["ps"]["alg"] = "PS256"
print(json.dumps([jwks, tokens]))
"""

# Added to the package: it says who asks, and takes constants of the page from the environment.
WHO = """
import os

from {package} import app, tokens
from {package}.settings import Settings

for name in ("KEEP_SECONDS", "PAUSE_SECONDS", "TIMEOUT_SECONDS"):
    setattr(tokens, name, int(os.environ.get(name, getattr(tokens, name))))


class Who:
    {async_}def on_get(self, req, resp):
        if scope := req.get_param("scope"):
            tokens.demand(req, scope)
        resp.media = [req.context.subject, req.context.scopes]

    async def on_websocket(self, req, ws):
        await ws.accept()
        await ws.close()


{async_}def sink(req, resp):
    resp.text = "sink"


def serve():
    service = app.create_app(Settings.from_environment())
    if not {is_asgi}:
        del Who.on_websocket
    service.add_route("/who", Who())
    service.add_sink(sink, "/sink")
    return service
"""


class Issuer(ThreadingHTTPServer):
    """Publishes those of its keys that are in `names`, and counts how often it is asked."""

    def __init__(self, keys: dict[str, Any], port: int = 0) -> None:
        """Listen on a port, and publish all but the new and the unknown key."""
        super().__init__(("127.0.0.1", port), IssuerHandler)
        self.keys = keys
        self.names = keys.keys() - {"new", "unknown"}
        self.asked = 0
        # An answer other than the keys.
        self.status, self.says = 200, b""
        self.is_asked, self.may_answer = threading.Event(), threading.Event()
        self.may_answer.set()


class IssuerHandler(Handler):
    """Answers for Issuer."""

    server: Issuer

    def do_GET(self) -> None:  # noqa: D102, N802
        issuer = self.server
        issuer.asked += 1
        issuer.is_asked.set()
        issuer.may_answer.wait()
        jwks = {"keys": [issuer.keys[name] for name in issuer.names]}
        with suppress(BrokenPipeError):  # it has waited for too long
            self.answer(issuer.status, issuer.says or json.dumps(jwks).encode())


class Situation:
    """A service, an issuer's keys, and tokens of all kinds."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        """Make the keys and the tokens."""
        self.recipe = recipe
        self.who = folder / "who.py"
        self.who.write_text(
            WHO.format(
                package=recipe.package,
                async_="async " if recipe.is_asgi else "",
                is_asgi=recipe.is_asgi,
            )
        )
        names = f"ISSUER, AUDIENCE = {ISSUER!r}, {AUDIENCE!r}\n"
        minted = recipe.baked.run(".venv/bin/python", "-c", names + MINT)
        assert minted.returncode == 0, minted.stderr
        self.keys, self.tokens = json.loads(minted.stdout)

    @contextmanager
    def run(self, port: int, **environment: str) -> Iterator[Running]:
        """Run the service, with one worker, beside an issuer on a port."""
        package = self.recipe.package
        with self.recipe.run(
            "--network=host",
            f"--volume={self.who}:/app/src/{package}/who.py:ro",
            command=("gunicorn", f"{package}.who:serve()"),
            probe=False,
            WEB_CONCURRENCY="1",
            PORT=str(free_port()),
            METRICS_PORT="0",
            JWKS_URL=f"http://127.0.0.1:{port}/jwks",
            JWT_ISSUER=ISSUER,
            JWT_AUDIENCE=AUDIENCE,
            **environment,
        ) as running:
            yield running

    def ask(self, running: Running, token: str, path: str = "/who") -> Answer:
        """Send a request with a token of a kind."""
        return running.ask(path, Authorization=f"Bearer {self.tokens[token]}")

    def wait_for(self, status: int, running: Running, token: str) -> Answer:
        """Send requests until the answer has a status."""
        deadline = time.monotonic() + 20
        while (answer := self.ask(running, token))[0].status != status:
            assert time.monotonic() < deadline, (answer[0].status, running.logs())
            time.sleep(0.2)
        return answer


@pytest.fixture(scope="module")
def situation(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Situation:
    return Situation(recipe, tmp_path_factory.mktemp("who"))


@pytest.fixture(scope="module")
def running(situation: Situation) -> Iterator[Running]:
    """Yield a service with the constants of the page, and CORS, whose issuer answers."""
    with (
        serving(Issuer(situation.keys)) as issuer,
        situation.run(issuer.server_port, CORS_ALLOW_ORIGINS="https://a.example") as running,
    ):
        yield running


def assert_refused(answer: Answer, status: int, challenge: str | None) -> None:
    """Look at a problem document, and the header that says which token would do."""
    response, body = answer
    assert response.status == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["WWW-Authenticate"] == challenge
    assert json.loads(body)["status"] == status


def test_costs_what_the_index_says(recipe: Recipe) -> None:
    recipe.assert_costs_what_the_index_says()


@pytest.mark.parametrize("token", ["RS256", "ES256", "of a list of audiences"])
def test_knows_who_asks(situation: Situation, running: Running, token: str) -> None:
    response, body = situation.ask(running, token)
    assert response.status == 200
    assert json.loads(body) == ["Ada", ["read", "write"]]
    request_id = response.headers["X-Request-ID"]
    assert running.wait_for(request_id=request_id, subject="Ada")


@pytest.mark.parametrize("token", REFUSED)
def test_refuses_a_token(situation: Situation, running: Running, token: str) -> None:
    answer = situation.ask(running, token)
    assert_refused(answer, 401, INVALID)
    request_id = json.loads(answer[1])["request_id"]
    line = running.wait_for(request_id=request_id, message="no valid token")
    assert line["reason"].endswith("Error")


@pytest.mark.parametrize("path", ["/greetings", "/who", "/sink", "/nowhere", "/livez/"])
def test_asks_for_a_token(running: Running, path: str) -> None:
    challenge = 'Bearer realm="falcon-service"'
    assert_refused(running.ask(path), 401, challenge)
    assert_refused(running.ask(path, Authorization="Basic QWRhOkFkYQ=="), 401, challenge)


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/api/openapi.json"])
def test_asks_for_none_where_it_is_public(running: Running, path: str) -> None:
    assert running.ask(path)[0].status == 200


def test_lets_no_other_scope_do(situation: Situation, running: Running) -> None:
    assert situation.ask(running, "RS256", "/who?scope=write")[0].status == 200
    challenge = 'Bearer error="insufficient_scope", scope="admin"'
    assert_refused(situation.ask(running, "RS256", "/who?scope=admin"), 403, challenge)


def test_refuses_an_oversized_token(running: Running) -> None:
    assert running.ask("/who", Authorization=f"Bearer {'a' * 8192}")[0].status == 431


def test_lets_pages_of_other_origins_ask(running: Running) -> None:
    response, _ = running.ask(
        "/who",
        "OPTIONS",
        Origin="https://a.example",
        Access_Control_Request_Method="GET",
        Access_Control_Request_Headers="authorization",
    )
    assert response.status == 200
    assert response.headers["Access-Control-Allow-Headers"] == "authorization"


def test_logs_nothing_of_a_token(situation: Situation, running: Running) -> None:
    for token in situation.tokens:
        situation.ask(running, token)
    running.wait_for(logger="gunicorn.access", path="/who")
    parts = {part for token in situation.tokens.values() for part in token.split(".") if part}
    log = running.logs()
    assert not [part for part in parts if part in log]


def test_takes_a_new_key_before_the_kept_ones_are_old(situation: Situation) -> None:
    with (
        serving(Issuer(situation.keys)) as issuer,
        situation.run(issuer.server_port, KEEP_SECONDS="600", PAUSE_SECONDS="1") as running,
    ):
        assert situation.ask(running, "RS256")[0].status == 200
        assert situation.ask(running, "new")[0].status == 401
        issuer.names |= {"new"}
        situation.wait_for(200, running, "new")


def test_refuses_a_key_that_is_taken_back_once_it_is_old(situation: Situation) -> None:
    with (
        serving(Issuer(situation.keys)) as issuer,
        situation.run(issuer.server_port, KEEP_SECONDS="1", PAUSE_SECONDS="600") as running,
    ):
        assert situation.ask(running, "RS256")[0].status == 200
        issuer.names -= {"rsa"}
        assert_refused(situation.wait_for(401, running, "RS256"), 401, INVALID)


def test_blames_no_token_while_the_issuer_is_away(situation: Situation) -> None:
    port = free_port()
    with situation.run(port, KEEP_SECONDS="1", PAUSE_SECONDS="1") as running:
        answer = situation.ask(running, "RS256")
        assert_refused(answer, 503, None)
        assert answer[0].headers["Retry-After"] == "1"
        assert running.wait_for(logger="falcon_service.tokens", level="warning")
        assert situation.ask(running, "garbage")[0].status == 401
        with serving(Issuer(situation.keys, port)) as issuer:
            situation.wait_for(200, running, "RS256")
            issuer.status = 500
            situation.wait_for(503, running, "RS256")
            issuer.status = 200
            situation.wait_for(200, running, "RS256")


@pytest.mark.parametrize("says", [b"<html>", b"[]", b'{"keys": []}', b"\xff"])
def test_blames_no_token_for_what_is_no_key(situation: Situation, says: bytes) -> None:
    with serving(Issuer(situation.keys)) as issuer, situation.run(issuer.server_port) as running:
        issuer.says = says
        assert_refused(situation.ask(running, "RS256"), 503, None)


@pytest.mark.parametrize(("token", "status"), [("with an unknown key", 200), ("RS256", 500)])
def test_a_flood_does_not_reach_the_issuer(situation: Situation, token: str, status: int) -> None:
    with (
        serving(Issuer(situation.keys)) as issuer,
        situation.run(issuer.server_port, PAUSE_SECONDS="600") as running,
    ):
        issuer.status = status
        for _ in range(20):
            situation.ask(running, token)
        assert issuer.asked == 1


def test_an_issuer_that_hangs_holds_up_only_who_needs_it(situation: Situation) -> None:
    """One who has a key that is at hand is answered while another waits for the issuer."""
    with (
        ThreadPoolExecutor() as pool,
        serving(Issuer(situation.keys)) as issuer,
        situation.run(issuer.server_port, PAUSE_SECONDS="0", TIMEOUT_SECONDS="60") as running,
    ):
        assert situation.ask(running, "RS256")[0].status == 200
        issuer.is_asked.clear()
        issuer.may_answer.clear()
        waits = pool.submit(situation.ask, running, "with an unknown key")
        assert issuer.is_asked.wait(20)
        try:
            assert situation.ask(running, "RS256")[0].status == 200
            assert not waits.done()
        finally:
            issuer.may_answer.set()
        assert waits.result()[0].status == 401


def test_does_not_wait_for_long(situation: Situation) -> None:
    with serving(Issuer(situation.keys)) as issuer, situation.run(issuer.server_port) as running:
        issuer.may_answer.clear()
        assert_refused(situation.ask(running, "RS256"), 503, None)
        issuer.may_answer.set()


def test_lets_nobody_in_where_nothing_is_set(recipe: Recipe, situation: Situation) -> None:
    with recipe.run("--add-host=issuer.invalid:127.0.0.1", probe=False) as running:
        assert running.ask("/")[0].status == 200
        token = situation.tokens["RS256"]
        assert_refused(running.ask("/greetings", Authorization=f"Bearer {token}"), 503, None)


def test_does_not_start_with_an_address_that_is_none(recipe: Recipe) -> None:
    status, printed = recipe.fail(JWKS_URL="issuer.example/jwks")
    assert status != 0
    assert "JWKS_URL is 'issuer.example/jwks': it must be" in printed


# The last: a test of one interface between the others has all services made once more.
@pytest.mark.parametrize("recipe", ["asgi"], indirect=True)
def test_asks_websockets_for_a_token(situation: Situation, running: Running) -> None:
    for token, status in (("RS256", 101), ("expired", 403)):
        response, _ = running.ask(
            "/who",
            Upgrade="websocket",
            Connection="Upgrade",
            Sec_WebSocket_Version="13",
            Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
            Authorization=f"Bearer {situation.tokens[token]}",
        )
        assert response.status == status
