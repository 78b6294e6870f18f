"""`prlore embed`: vectors of a model for the cards of a store."""

from __future__ import annotations

import sys
import time

import click

from kb.commands.options import is_terminal, kb_option


@click.command("embed")
@click.option(
    "--encoder", default="mini", show_default=True, metavar="NAME",
    help="mini (the shipped transformer), static, or any sentence-transformers model or folder.",
)  # fmt: skip
@click.option(
    "--device", metavar="DEVICE", help="cuda, cuda:1, cpu: where a sentence-transformers model runs."
)
@click.option(
    "--all", "everything", is_flag=True, help="Embed all cards anew, not only those without a vector."
)
@kb_option
def embed(encoder: str, device: str | None, everything: bool, kb: str | None) -> None:
    """Give the cards of a store vectors of a model; a run that was interrupted goes on where it stopped.

    With --device cuda the shipped model needs its trained form: --encoder FOLDER, as `prlore train encoder` writes it.
    """
    from kb.encoders.base import EncoderError
    from kb.encoders.load import load_encoder
    from kb.location import default_uri
    from kb.model_vectors import embed as embed_cards
    from kb.model_vectors import lacking
    from kb.store import Store

    model = load_encoder(encoder, device)
    if model is None:
        raise EncoderError("--encoder none has no vectors: name a model")
    with Store.create(kb or default_uri(), {}) as store:
        wanted = (
            sorted(store.scan("cards", ["id"])["id"].to_pylist())
            if everything
            else lacking(store, model.name)
        )
        started = time.perf_counter()
        if is_terminal():
            from tqdm import tqdm

            with tqdm(total=len(wanted), unit=" cards", file=sys.stderr) as bar:

                def advance(done: int, of: int) -> None:
                    bar.update(done - bar.n)

                embed_cards(store, model, wanted, advance)
        else:
            embed_cards(store, model, wanted)
        seconds = time.perf_counter() - started
    pace = f", {len(wanted) / seconds:.0f} a second" if wanted and seconds > 0 else ""
    click.echo(f"{len(wanted)} cards embedded by {model.name} in {seconds:.1f} s{pace}")
