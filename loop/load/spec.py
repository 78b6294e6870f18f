"""What the generator is told, and what makes a request count as served in full."""

from __future__ import annotations

import msgspec

KINDS = {"chat": (1000, 1000), "summarization": (8000, 1000)}  # tokens in, tokens out

# Below one chunk for most tokens TPOT and ITL are not the server's: several tokens came at once. A run is judged by its
# median request: engines hold back halves of a UTF-8 character, and one that is short of CPU joins the tokens of single
# requests (16 chunks for 32 tokens were seen beside requests with 32). Every second token joined, in all, is 0.5.
FEWEST_CHUNKS = 0.6
FEWEST_CHUNKS_OF_ONE = 0.25
# A model without training writes text that its own tokenizer would cut differently; half is what tells empty chunks.
FEWEST_TEXT = 0.5


class LoadSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run of the generator.

    Attributes:
        url: the server, such as `http://127.0.0.1:8000`; `endpoint` the path under it.
        model: the name that the server answers to.
        tokenizer: file `tokenizer.json` that counts prompts and answers; never the server's word.
        seed: prompts are drawn from it; a new one for each block, so that no answer can be known beforehand.
        input_len, output_len: tokens of each request.
        num_prompts: requests that are timed.
        concurrency: requests in flight at most; `request_rate` requests/s with Poisson arrivals, None for as fast as
            concurrency lets through.
        shared_prefix: tokens at the start that all prompts have in common.
        warmup: requests before the clock starts, from another seed.
        prompts: texts in place of drawn ones, for questions that must be the same every time.
        logprobs: alternatives asked for with each token, 0 for none.
        timeout_s: of one request, from sending to the last chunk.
    """

    url: str
    model: str
    tokenizer: str
    seed: str
    input_len: int = 1000
    output_len: int = 1000
    num_prompts: int = 80
    concurrency: int = 16
    request_rate: float | None = None
    shared_prefix: int = 0
    warmup: int = 2
    endpoint: str = "/v1/completions"
    prompts: tuple[str, ...] = ()
    logprobs: int = 0
    ignore_eos: bool = True
    temperature: float = 0.0
    timeout_s: float = 300.0


class Reply(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One answer as it came.

    Attributes:
        input_tokens: of the prompt, by the generator's tokenizer; `text_tokens` of the answer's text.
        sent_ns: from the start of the run; `chunk_ns` when each chunk with text came; `last_ns` when the answer ended.
        claimed_tokens: what the server says it made; information only.
        finish: the server's reason for ending.
        status: of HTTP, 0 where there was none; `error` why a request failed.
        logprobs: of the chosen tokens, where they were asked for.
    """

    index: int
    prompt: str
    input_tokens: int
    sent_ns: int
    chunk_ns: tuple[int, ...]
    last_ns: int
    text: str
    text_tokens: int
    claimed_tokens: int | None
    finish: str | None
    status: int
    error: str | None
    logprobs: tuple[float, ...] = ()

    def shortfall(self, spec: LoadSpec) -> str | None:
        """Why this request can't count as served in full; None where it can."""
        if self.error:
            return self.error
        if not spec.ignore_eos:
            return None if self.chunk_ns else "an answer without text"
        wanted = spec.output_len
        if self.finish != "length":
            return f"ended with {self.finish!r}, not after {wanted} tokens"
        if len(self.chunk_ns) < FEWEST_CHUNKS_OF_ONE * wanted:
            return self.joined(spec)
        if self.text_tokens < FEWEST_TEXT * wanted:
            return f"text of {self.text_tokens} tokens where {wanted} were asked for"
        return None

    def joined(self, spec: LoadSpec) -> str:
        """That several tokens came at once, in words."""
        return f"{len(self.chunk_ns)} chunks for {spec.output_len} tokens"


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The generator has drawn its prompts and warmed the server; it waits for a line."""

    library: str


class Done(msgspec.Struct, frozen=True, tag=True):
    """The run is over; replies follow, a line each.

    Attributes:
        cpu_ns: CPU time of the generator meanwhile: near `duration_ns` means that it was the bottleneck.
        duration_ns: first request sent to last answer ended.
    """

    replies: int
    duration_ns: int
    cpu_ns: int


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The generator can't do it."""

    reason: str


Word = Ready | Done | Refused
