"""What every request passes first: the bearer token, and which model answers, in each reply."""

import hmac

from llm_models.asgi import App, Message, Receive, Scope, Send
from llm_models.reply import Reply
from llm_models.served_error import ServedError
from steps.core.serving.chat_reply import refusing

OPEN = ("/health", "/ready")  # asked by what watches the process
WRONG_TOKEN = "this server takes no request without its own bearer token"  # noqa: S105
CHALLENGE = (b"www-authenticate", b"Bearer")


class Door:
    """`app` behind a token; empty: whoever can reach the port may ask."""

    def __init__(self, app: App, token: str, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        self._app = app
        self._wanted = token.encode()
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = message | {"headers": [*message["headers"], *self._headers]}
            await send(message)

        if self._lets_in(scope):
            await self._app(scope, receive, named)
        else:
            await _turned_away(scope["path"]).send(named)

    def _lets_in(self, scope: Scope) -> bool:
        if not self._wanted or scope["path"] in OPEN:
            return True
        header = dict(scope["headers"]).get(b"authorization", b"")
        scheme, _, given = header.partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), self._wanted)


def _turned_away(path: str) -> Reply:
    error = ServedError("unauthenticated", WRONG_TOKEN, told=WRONG_TOKEN)
    reply = refusing(error) if path.startswith("/v1/") else Reply.refusing(error)
    return Reply(reply.status, reply.body, (*reply.headers, CHALLENGE))
