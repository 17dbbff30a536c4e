"""SmolLM2 from its 4-bit GGUF file to the hub's format: configuration, tokenizer, float32 weights."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

# GGUF's names for the parts of a Llama, and transformers'.
PARTS = {
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


def files(gguf: Path) -> Iterator[tuple[str, Iterable[bytes]]]:
    """The four files of the model's folder, the weights last, tensor by tensor (little memory)."""
    from gguf import GGUFReader

    reader = GGUFReader(gguf)
    about = {key: entry.contents() for key, entry in reader.fields.items()}
    llama = {key.removeprefix("llama."): value for key, value in about.items() if key.startswith("llama.")}
    tokens = {key.removeprefix("tokenizer."): value for key, value in about.items() if key.startswith("tokenizer.")}
    tokens = {key.removeprefix("ggml."): value for key, value in tokens.items()}
    for name, value in [
        ("config", config(llama, tokens)),
        ("tokenizer_config", tokenizer_config(llama, tokens)),
        ("tokenizer", tokenizer(tokens)),
    ]:
        yield f"smollm/{name}.json", [json.dumps(value, ensure_ascii=False, indent=1).encode()]
    heads = {"attn_q": llama["attention.head_count"], "attn_k": llama["attention.head_count_kv"]}
    yield "smollm/model.safetensors", weights(reader.tensors, heads)


def config(llama: dict[str, Any], tokens: dict[str, Any]) -> dict[str, Any]:
    """``config.json``: the shape of the Llama."""
    return {
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
        "rms_norm_eps": 1e-05,  # the file holds its float32 neighbour
        "rope_theta": llama["rope.freq_base"],
        "rope_parameters": {"rope_type": "default", "rope_theta": llama["rope.freq_base"]},
        "tie_word_embeddings": True,
        "bos_token_id": tokens["bos_token_id"],
        "eos_token_id": tokens["eos_token_id"],
        "pad_token_id": tokens["padding_token_id"],
    }


def tokenizer_config(llama: dict[str, Any], tokens: dict[str, Any]) -> dict[str, Any]:
    """``tokenizer_config.json``: special tokens and the chat template."""
    roles = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **{f"{role}_token": tokens["tokens"][tokens[f"{name}_token_id"]] for role, name in roles.items()},
        "model_max_length": llama["context_length"],
        "clean_up_tokenization_spaces": False,
        "chat_template": tokens["chat_template"],
    }


def tokenizer(tokens: dict[str, Any]) -> dict[str, Any]:
    """``tokenizer.json``: byte-level BPE that takes every digit alone (transformers' own GGUF reader forgets that)."""
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    special = [i for i, kind in enumerate(tokens["token_type"]) if kind == 3]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    digits = {"type": "Digits", "individual_digits": True}
    return {
        "version": "1.0",
        "added_tokens": [{"id": i, "content": tokens["tokens"][i], **plain} for i in special],
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, byte_level]},
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "vocab": {word: i for i, word in enumerate(tokens["tokens"])},
            "merges": [merge.split(" ") for merge in tokens["merges"]],
        },
    }


def weights(tensors: list[Any], heads: dict[str, int]) -> Iterator[bytes]:
    """``model.safetensors``: its header, then the tensors as float32."""
    tensors = sorted(tensors, key=lambda tensor: rename(tensor.name))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        begin, end = end, end + 4 * int(tensor.n_elements)
        shape = tensor.shape.tolist()[::-1]
        header[rename(tensor.name)] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    yield len(head).to_bytes(8, "little") + head
    for tensor in tensors:
        yield dequantised(tensor, heads.get(tensor.name.split(".")[-2])).tobytes()


def rename(name: str) -> str:
    """``blk.3.attn_q.weight`` to ``model.layers.3.self_attn.q_proj.weight``."""
    layer, part = re.fullmatch(r"(?:blk\.(\d+)\.)?(\w+)\.weight", name).groups()  # type: ignore[union-attr]
    return f"model.layers.{layer}.{PARTS[part]}.weight" if layer else f"model.{PARTS[part]}.weight"


def dequantised(tensor: Any, heads: int | None) -> np.ndarray[Any, Any]:
    """The tensor as float32; for query and key rows, rotary pairs (0, 1), (2, 3) … become (i, i + half)."""
    import numpy as np
    from gguf.quants import dequantize

    weight = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
    if heads:
        weight = weight.reshape(heads, -1, 2, weight.shape[-1]).swapaxes(1, 2).reshape(weight.shape)
    return weight
