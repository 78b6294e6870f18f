"""The generator against servers that behave in every way a server may: slow, silent, false, broken."""

from __future__ import annotations

import http.server
import json
import threading
import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loop.engines.fake import write_model
from loop.load.errors import LoadFailed
from loop.load.generator import HttpBencher, LoadRun, generate, served_name
from loop.load.prompts import TokenCounter, draw_prompts
from loop.load.spec import LoadSpec, Reply
from loop.records import Workload

PAUSE_S = 0.004


class Handler(http.server.BaseHTTPRequestHandler):
    """Streams according to the model's name."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        body = json.dumps({"data": [{"id": name} for name in self.server.models]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(asked)
        way, wanted = asked["model"], asked["max_tokens"]
        if way == "refuses":
            self.send_error(429, "busy")
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        if way == "silent":
            time.sleep(3)
            return
        for number in range(wanted):
            if way == "breaks" and number == 2:
                return
            if way == "error" and number == 2:
                self.event({"error": {"message": "out of memory"}})
                return
            if way == "lumps" and number % 3:
                continue
            text = "" if way == "empty" else f" w{number + 1}" * (3 if way == "lumps" else 1)
            self.event({"choices": [{"text": text, "finish_reason": None}]})
            time.sleep(PAUSE_S)
        reason = "stop" if way == "stops" else "length"
        self.event({"choices": [{"text": "", "finish_reason": reason}]})
        if way == "halves":
            self.wfile.write(b'data: {"choices": [], "usage"')
            self.wfile.flush()
            time.sleep(0.02)
            self.wfile.write(b': {"completion_tokens": 6}}\n\n')
        self.wfile.write(b": a comment\n\ndata: [DONE]\n\n")

    def event(self, body):
        self.wfile.write(b"data: " + json.dumps(body).encode() + b"\n\n")
        self.wfile.flush()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # clients hang up on purpose here


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def server():
    made = Server(("127.0.0.1", 0), Handler)
    made.models, made.asked = ["plain"], []
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def ask(server, model, way, **others):
    spec = LoadSpec(
        url=f"http://127.0.0.1:{server.server_port}", model=way, tokenizer=str(model), seed="s", input_len=5,
        output_len=6, num_prompts=2, concurrency=2, warmup=0, timeout_s=1.0,
    )  # fmt: skip
    return generate(msgspec.structs.replace(spec, **others))


def test_a_plain_answer_is_ok_and_its_times_are_the_clients(server, model):
    run = ask(server, model, "plain")
    assert all(row.ok and row.output_tokens == 6 and row.input_tokens == 5 for row in run.rows)
    row = run.rows[0]
    pauses = [b - a for a, b in zip(row.chunk_ns, row.chunk_ns[1:], strict=False)]
    assert sum(pauses) > 0.8 * 5 * PAUSE_S * 1e9  # single ones shrink when the client is late
    assert run.duration_ns >= max(row.done_ns for row in run.rows)
    assert run.generator_cpu_ns > 0
    sent = server.asked[-1]
    assert (sent["temperature"], sent["ignore_eos"], sent["stream"]) == (0.0, True, True)


@pytest.mark.parametrize(
    ("way", "why"),
    [
        ("refuses", "HTTP 429"),
        ("silent", "no end after 1 s"),
        ("breaks", "ended with None"),
        ("error", "out of memory"),
        ("stops", "ended with 'stop', not after 6 tokens"),
        ("empty", "0 chunks for 6 tokens"),
        ("lumps", "2 chunks for 6 tokens"),
    ],
)
def test_whatever_is_not_served_in_full_is_a_row_that_says_why(server, model, way, why):
    run = ask(server, model, way)
    assert [row.ok for row in run.rows] == [False, False]
    assert why in run.rows[0].error


def test_one_request_whose_tokens_were_joined_still_counts(server, model):
    def reply(index, chunks):
        return Reply(index, "p", 5, 0, tuple(range(chunks)), 9, "t", 6, None, "length", 200, None)

    spec = ask(server, model, "plain").spec
    seldom, mostly = [reply(0, 6), reply(1, 3), reply(2, 6)], [reply(0, 3), reply(1, 3), reply(2, 6)]
    assert [row.ok for row in LoadRun(spec, tuple(seldom), 9, 1).rows] == [True] * 3
    assert [row.ok for row in LoadRun(spec, tuple(mostly), 9, 1).rows] == [False] * 3


def test_lines_in_pieces_are_put_together(server, model):
    run = ask(server, model, "halves")
    assert [reply.claimed_tokens for reply in run.replies] == [6, 6]
    assert all(row.ok for row in run.rows)


def test_an_answer_that_may_end_by_itself_counts_its_own_text(server, model):
    run = ask(server, model, "stops", ignore_eos=False)
    assert [(row.ok, row.output_tokens) for row in run.rows] == [(True, 6), (True, 6)]


def test_a_rate_spreads_the_requests(server, model):
    run = ask(server, model, "plain", num_prompts=8, concurrency=8, request_rate=40.0)
    sent = [row.sent_ns for row in run.rows]
    assert sent == sorted(sent)
    assert sent[-1] > 20_000_000


def test_concurrency_is_a_bound(server, model):
    run = ask(server, model, "plain", num_prompts=4, concurrency=1)
    for before, after in zip(run.rows, run.rows[1:], strict=False):
        assert after.sent_ns >= before.done_ns


def test_no_server_is_rows_and_no_tokenizer_an_error(model, tmp_path):
    spec = LoadSpec(
        url="http://127.0.0.1:9",
        model="m",
        tokenizer=str(model),
        seed="s",
        input_len=4,
        output_len=2,
        num_prompts=1,
        warmup=0,
    )
    assert "Connect" in generate(spec).rows[0].error
    with pytest.raises(LoadFailed, match="no tokenizer can be read"):
        generate(msgspec.structs.replace(spec, tokenizer=str(tmp_path)))
    with pytest.raises(LoadFailed, match="is the server up"):
        HttpBencher(model).run("http://127.0.0.1:9", "m", Workload("w"), 1)


def test_the_servers_only_model_is_taken_by_whatever_name(server):
    url = f"http://127.0.0.1:{server.server_port}"
    assert served_name(url, "/models/x") == "plain"
    server.models.append("second")
    try:
        assert served_name(url, "second") == "second"
        with pytest.raises(LoadFailed, match="plain, second"):
            served_name(url, "x")
    finally:
        server.models.pop()


def test_prompts_of_a_dataset_are_refused_in_one_line(model):
    with pytest.raises(LoadFailed, match="no prompts of kind 'dataset'"):
        HttpBencher(model).spec("u", "m", Workload("w", kind="dataset"), 1)


@pytest.fixture(scope="module")
def counter(model):
    return TokenCounter(model)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.text(max_size=8), count=st.integers(1, 4), length=st.integers(1, 60), shared=st.integers(0, 20)
)
def test_prompts_have_the_length_asked_for_and_differ(counter, seed, count, length, shared):
    shared = min(shared, length - 1)
    prompts = draw_prompts(counter, seed, count, length, shared)
    assert [counter.count(prompt) for prompt in prompts] == [length] * count
    assert prompts == draw_prompts(counter, seed, count, length, shared)
    if length - shared > 6:
        assert len(set(prompts)) == count
    if count > 1 and shared:
        assert prompts[0].split()[:shared] == prompts[1].split()[:shared]
