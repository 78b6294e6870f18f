"""Launch options."""

import argparse

from tinyserve import __version__


def parser() -> argparse.ArgumentParser:
    """All options with their types and choices."""
    found = argparse.ArgumentParser(prog="tinyserve", description=f"tinyserve {__version__}")
    found.add_argument("--model-path", required=True, help="Folder with config.json and tokenizer.json.")
    found.add_argument("--served-model-name", default=None, help="Name that clients ask for.")
    found.add_argument("--host", default="127.0.0.1", help="Address to listen on.")
    found.add_argument("--port", type=int, default=8000, help="Port to listen on.")
    found.add_argument(
        "--clock", choices=("sleep", "spin"), default="sleep", help="Wait costs out, or work them off."
    )
    found.add_argument(
        "--max-running-requests", type=int, default=16, help="Requests in a decode batch at most."
    )
    found.add_argument(
        "--prefill-batch", type=int, default=2, help="Prompts that are prefilled together at most."
    )
    found.add_argument(
        "--attention-backend", choices=("plain", "fused", "paged"), default="plain", help="Attention kernels."
    )
    found.add_argument("--page-size", type=int, default=16, help="Tokens of a page of the KV cache.")
    found.add_argument("--overlap-schedule", action="store_true", help="Schedule while the device works.")
    found.add_argument("--slow-start", type=float, default=0.0, help="Seconds before the server is healthy.")
    return found


def check(args: argparse.Namespace) -> str | None:
    """Why options can't go together, None if they can."""
    if args.attention_backend == "fused" and args.page_size > 32:
        return "the fused attention backend supports pages of at most 32 tokens"
    if args.page_size < 1 or args.max_running_requests < 1 or args.prefill_batch < 1:
        return "page size and batch sizes are at least 1"
    return None
