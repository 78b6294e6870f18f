"""One training run from a base model to what ships: encoder, reranker, ONNX files, vectors of all cards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kb.training.data import TrainingDataError, TrainingSet
from kb.training.encoder import EncoderPlan, EncoderTraining, Say
from kb.training.reranker import RerankerPlan, RerankerTraining, small_cross_encoder


def train_models(
    data: TrainingSet, base: str, out: Path, device: str, steps: int, reranker_steps: int, seed: int, say: Say
) -> dict[str, Any]:
    """Train and write everything below `out`; returns recipe and figures.

    Raises:
        TrainingDataError: the extra `[train]` is missing, or the base model can't be had.
    """
    try:
        import torch
        from sentence_transformers import SentenceTransformer

        from kb.training.export import export_encoder, export_reranker
    except ImportError as exc:
        raise TrainingDataError("training needs more packages: pip install 'prlore[train]'") from exc
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise TrainingDataError(
            "--device cuda: PyTorch sees no GPU here; use --device cpu, which takes hours"
        )
    try:
        model = SentenceTransformer(base, device=device)
    except Exception as exc:  # the library raises what its loaders raise: OSError, ValueError, HTTP errors
        said = (str(exc).strip().splitlines() or [type(exc).__name__])[0]
        raise TrainingDataError(f"can't load the base model {base!r}: {said[:200]}") from exc
    training = EncoderTraining(model, data, EncoderPlan(steps=steps, seed=seed), device, say)
    report: dict[str, Any] = {
        "cards": len(data.documents),
        "questions": len(data.questions),
        "before": training.held_out_scores(),
    }
    report["encoder"] = training.run()
    model.save(str(out / "trained"))
    vectors = training.embed(training.cards)[:, :256].cpu().numpy()
    if reranker_steps:
        small = small_cross_encoder(model, RerankerPlan().layers)
        plan = RerankerPlan(steps=reranker_steps, seed=seed)
        reranking = RerankerTraining(small, model.tokenizer, data, training, plan, device, say)
        report["reranker"] = reranking.run()
        report["reranker_bytes"] = export_reranker(small, out / "reranker")
    report["encoder_bytes"] = export_encoder(model, out / "mini")

    from kb.model_vectors import save_cache

    save_cache(out / "mini" / "cards.npz", [d.text for d in data.documents], vectors)
    return report
