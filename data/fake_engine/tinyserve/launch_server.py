"""The server: `python -m tinyserve.launch_server --model-path MODEL --port PORT`."""

import asyncio
import json
import sys
import time

from tinyserve import __version__
from tinyserve.arguments import check, parser
from tinyserve.device import Device
from tinyserve.http import Answer, Call, serve
from tinyserve.layers import Layers
from tinyserve.model import load
from tinyserve.profiler import Profiler
from tinyserve.scheduler import Request, Scheduler


class Server:
    """What the routes do."""

    def __init__(self, args, loop: asyncio.AbstractEventLoop) -> None:
        self.args, self.loop = args, loop
        self.model = load(args.model_path, args.served_model_name)
        self.device = Device(args.clock)
        layers = Layers(
            self.device, self.model.layers, self.model.hidden, args.attention_backend, args.page_size
        )
        self.scheduler = Scheduler(
            self.model,
            self.device,
            layers,
            args.max_running_requests,
            args.prefill_batch,
            args.overlap_schedule,
        )
        self.profiler = Profiler(self.device)
        self.scheduler.after_step = self.profiler.after_step
        self.scheduler.start()

    async def handle(self, call: Call) -> Answer:
        """One request."""
        if call.path == "/health":
            return Answer()
        if call.path == "/version":
            return Answer(body=json.dumps({"version": __version__}).encode())
        if call.path == "/v1/models":
            return Answer(body=json.dumps({"object": "list", "data": [{"id": self.model.name}]}).encode())
        if call.path == "/start_profile":
            asked = call.json()
            self.profiler.start(
                asked["output_dir"], asked["profile_prefix"], asked["stage"], int(asked["num_steps"])
            )
            return Answer()
        if call.path == "/stop_profile":
            self.profiler.stop()
            return Answer(body=json.dumps({"written": self.profiler.written}).encode())
        if call.path == "/v1/completions":
            return self.complete(call.json())
        return Answer(404, b'{"error": {"message": "no such route"}}')

    def complete(self, asked: dict) -> Answer:
        """A streamed completion."""
        if asked["model"] != self.model.name:
            return Answer(404, json.dumps({"error": {"message": f"no model {asked['model']}"}}).encode())
        wanted = int(asked.get("max_tokens", 16))
        if wanted < 1 or not asked.get("stream"):
            return Answer(400, b'{"error": {"message": "streams of at least one token only"}}')
        queue: asyncio.Queue[tuple[str, float, str | None]] = asyncio.Queue()

        def emit(text: str, logprob: float, reason: str | None) -> None:
            self.loop.call_soon_threadsafe(queue.put_nowait, (text, logprob, reason))

        request = Request(self.model.encode(str(asked["prompt"])), wanted, emit)
        self.scheduler.add(request)
        return Answer(stream=self._events(queue, request, bool(asked.get("logprobs"))))

    async def _events(self, queue: asyncio.Queue, request: Request, logprobs: bool):
        try:
            reason = None
            while reason is None:
                text, logprob, reason = await queue.get()
                choice: dict[str, object] = {"index": 0, "text": text, "finish_reason": reason}
                if logprobs:
                    choice["logprobs"] = {"token_logprobs": [logprob]}
                yield b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"
            usage = {"completion_tokens": request.made, "prompt_tokens": len(request.prompt)}
            yield b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n"
            yield b"data: [DONE]\n\n"
        finally:
            request.gone.set()


async def run(args) -> None:
    """Serve until the process is ended."""
    server = await serve(Server(args, asyncio.get_running_loop()).handle, args.host, args.port)
    print(f"serving on {args.host}:{args.port}", flush=True)
    async with server:
        await server.serve_forever()


def main() -> int:
    """Parse options and serve."""
    args = parser().parse_args()
    if reason := check(args):
        print(f"error: {reason}", file=sys.stderr)
        return 1
    time.sleep(args.slow_start)
    asyncio.run(run(args))
    return 0


if __name__ == "__main__":
    sys.exit(main())
