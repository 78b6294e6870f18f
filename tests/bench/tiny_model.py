"""A model that needs no hub: a Qwen3 of eight layers without weights, and a tokenizer trained on the standard library.

    python tests/bench/tiny_model.py FOLDER [--layers 8] [--hidden 512]

Engines make its weights up (`--load-format dummy`). Fewer layers or a narrower model decode faster than a server can
stream on a CPU: tokens then come several to a chunk and TPOT reads 0.
"""

from __future__ import annotations

import argparse
import json
import sysconfig
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def config(layers: int, hidden: int, vocabulary: int) -> dict[str, object]:
    """Shape of the model; `architectures` has to be there."""
    return {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "torch_dtype": "bfloat16",
        "hidden_size": hidden, "intermediate_size": 3 * hidden, "num_hidden_layers": layers,
        "num_attention_heads": hidden // 64, "num_key_value_heads": max(1, hidden // 128), "head_dim": 64,
        "vocab_size": vocabulary, "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
        "hidden_act": "silu", "tie_word_embeddings": True, "attention_bias": False, "initializer_range": 0.02,
        "bos_token_id": 0, "eos_token_id": 0, "use_cache": True,
    }  # fmt: skip


def train(vocabulary: int) -> Tokenizer:
    """Byte-level BPE over the standard library's sources."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=SPECIAL, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train([str(file) for file in files], trainer)
    return tokenizer


def write(folder: Path, layers: int, hidden: int, vocabulary: int) -> None:
    """All files of the model."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = train(vocabulary)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": SPECIAL[0], "pad_token": SPECIAL[0],
        "chat_template": TEMPLATE, "model_max_length": 4096,
    }  # fmt: skip
    shape = config(layers, hidden, tokenizer.get_vocab_size())
    generation = {"eos_token_id": 0, "bos_token_id": 0}
    for name, body in (("config", shape), ("tokenizer_config", settings), ("generation_config", generation)):
        (folder / f"{name}.json").write_text(json.dumps(body, indent=1), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--vocabulary", type=int, default=4096)
    args = parser.parse_args()
    write(args.folder, args.layers, args.hidden, args.vocabulary)


if __name__ == "__main__":
    main()
