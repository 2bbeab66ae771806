"""python-socketio, put through its scenarios with a server that behaves as stage.cjs: `client.py polling|websocket|upgrade npm|rowcast URL`.

Prints `ok` or `not ok` with a name for each scenario, and ends with 1 when one has failed.
"""

import os
import queue
import sys
import traceback

import socketio

LIMIT_S = 20
SERVER = sys.argv[2]
TRANSPORTS = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": ["polling", "websocket"]}


class Guest:
    """A client that notes what it hears."""

    def __init__(self, transport, url, namespaces=("/",), auth=None, **options):
        self.heard = {}
        self.client = socketio.Client(reconnection_delay=0.05, reconnection_delay_max=0.1, randomization_factor=0, **options)
        for namespace in namespaces:
            for name in ("connect", "disconnect", "auth", "message-back", "answered", "said", "told", "connect_error"):
                self.client.on(name, self._note(namespace, name), namespace=namespace)
            self.client.on("question", lambda *args: args, namespace=namespace)
        self.client.connect(url, transports=TRANSPORTS[transport], namespaces=list(namespaces), auth=auth, wait_timeout=LIMIT_S)
        for namespace in namespaces:
            self.until("connect", namespace)

    def _note(self, namespace, name):
        notes = self.heard.setdefault((namespace, name), queue.Queue())
        return lambda *args: notes.put(args)

    def until(self, name, namespace="/"):
        """The arguments of the next event of this name."""
        return self.heard[(namespace, name)].get(timeout=LIMIT_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.disconnect()


def shows_what_it_is(transport, url):
    with Guest(transport, url, auth={"token": "tök"}) as guest:
        assert guest.until("auth") == ({"token": "tök"},)
        wanted = "polling" if transport == "polling" else "websocket"
        assert guest.client.transport() == wanted, guest.client.transport()


def text_and_values_come_back(transport, url):
    values = ["", "plain", "Grüße 日本語 🚀", '"\\\n\u2028\u001e', 0, -1.5, True, None, [], {}, {"a": [None, {"b": "c"}]}]
    with Guest(transport, url) as guest:
        for value in values:
            guest.client.emit("message", value if value is not None else (None,))
            assert guest.until("message-back") == (value,)
        guest.client.emit("message", tuple(values))
        assert guest.until("message-back") == tuple(values)
        assert guest.client.call("code-points", "ü🚀", timeout=LIMIT_S) == [0xFC, 0x1F680]


def both_sides_answer(transport, url):
    with Guest(transport, url) as guest:
        assert guest.client.call("message-with-ack", (1, "zwölf", {"a": [None]}), timeout=LIMIT_S) == (1, "zwölf", {"a": [None]})
        guest.client.emit("ask", (1, "zwölf", {"a": [None]}))
        assert guest.until("answered") == (1, "zwölf", {"a": [None]})


def bytes_come_back(transport, url):
    sent = ({"first": b"\x01\x02", "list": [b"", {"deep": bytes(range(256))}]}, b"abc", 7)
    with Guest(transport, url) as guest:
        guest.client.emit("message", sent)
        assert guest.until("message-back") == sent
        assert guest.client.call("message-with-ack", sent, timeout=LIMIT_S) == sent
        guest.client.emit("ask", sent)
        assert guest.until("answered") == sent


def large_things_come_back_and_in_order(transport, url):
    text, data = "ü€🚀x" * 20_000, bytes(n % 251 for n in range(300_000))
    with Guest(transport, url) as guest:
        guest.client.emit("message", text)
        assert guest.until("message-back") == (text,)
        guest.client.emit("message", data)
        assert guest.until("message-back") == (data,)
        # This client takes no polling payload of more than 16 packets, and npm's server sends such.
        count = 10 if SERVER == "npm" and transport == "polling" else 300
        for number in range(count):
            guest.client.emit("message", number)
        assert [guest.until("message-back") for _ in range(count)] == [(number,) for number in range(count)]


def namespaces_and_rooms(transport, url):
    with Guest(transport, url, ("/", "/chat")) as ada, Guest(transport, url, ("/chat",)) as ben:
        ada.client.call("join", "a room", namespace="/chat", timeout=LIMIT_S)
        ben.client.emit("say", ("a room", {"bytes": b"\x09"}), namespace="/chat")
        assert ada.until("said", "/chat") == ("a room", {"bytes": b"\x09"})
        ben.client.emit("tell", "all others", namespace="/chat")
        assert ada.until("told", "/chat") == ("all others",)
        assert ada.client.call("message-with-ack", 1, timeout=LIMIT_S) == 1
        assert ben.heard[("/chat", "said")].empty() and ben.heard[("/chat", "told")].empty()


def a_namespace_says_why_it_refuses(transport, url):
    for namespace, why in (("/closed", "not authorized"), ("/nowhere", "Invalid namespace")):
        answers = queue.Queue()
        client = socketio.Client(reconnection=False)
        client.on("connect_error", answers.put, namespace=namespace)
        try:
            client.connect(url, transports=TRANSPORTS[transport], namespaces=[namespace], wait_timeout=LIMIT_S)
        except socketio.exceptions.ConnectionError:
            assert answers.get(timeout=LIMIT_S)["message"] == why
        else:
            raise AssertionError(f"{namespace} let it in")


def comes_back_after_a_cut(transport, url):
    if transport == "polling":
        return  # A connection that the server closes while it is polled, this client takes for a goodbye.
    with Guest(transport, url) as guest:
        guest.client.emit("cut")
        guest.until("disconnect")
        guest.until("connect")
        assert guest.client.call("message-with-ack", 1, timeout=LIMIT_S) == 1


SCENARIOS = [
    shows_what_it_is,
    text_and_values_come_back,
    both_sides_answer,
    bytes_come_back,
    large_things_come_back_and_in_order,
    namespaces_and_rooms,
    a_namespace_says_why_it_refuses,
    comes_back_after_a_cut,
]


def main():
    transport, _, url = sys.argv[1:4]
    failed = 0
    for scenario in SCENARIOS:
        title = scenario.__name__.replace("_", " ")
        try:
            scenario(transport, url)
            print(f"ok - {title}", flush=True)
        except Exception:
            failed += 1
            print(f"not ok - {title}\n{traceback.format_exc()}", flush=True)
    # Threads of clients that did not end are not waited for.
    os._exit(1 if failed else 0)


main()
