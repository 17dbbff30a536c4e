"""Built in day 41, Hugging Face in practice: ``runner taught`` copies it from day41_huggingface.ipynb."""

import json
import struct
from pathlib import Path

import torch
from safetensors.torch import save_file

from helpers.taught.day31 import ORDER, PRINTED
from helpers.taught.day36 import LLAMA

KINDS = {"F32": torch.float32, "F16": torch.float16,
         "BF16": torch.bfloat16, "I64": torch.int64, "U8": torch.uint8,
         "BOOL": torch.bool}


def read_header(path):
    """Header of a safetensors file, and where its numbers begin."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(length)), 8 + length


def read_tensor(path, name):
    """One tensor, without reading the others."""
    header, base = read_header(path)
    begin, end = header[name]["data_offsets"]
    with open(path, "rb") as file:
        file.seek(base + begin)
        raw = bytearray(file.read(end - begin))
    kind, shape = KINDS[header[name]["dtype"]], header[name]["shape"]
    if not raw:
        return torch.empty(shape, dtype=kind)
    return torch.frombuffer(raw, dtype=kind).reshape(shape)


def hub_tensors(model):
    """A Decoder's weights under transformers' names of Llama."""
    state, c = model.state_dict(), model.config
    names = {"embed.weight": "model.embed_tokens.weight",
             "norm.weight": "model.norm.weight"}
    if not c.tied:
        names["head.weight"] = "lm_head.weight"
    for i in range(c.depth):
        names |= {f"blocks.{i}.{a}": f"model.layers.{i}.{b}"
                  for a, b in LLAMA.items()}
    return {b: state[a].contiguous() for a, b in names.items()}


def hub_config(c, end, length):
    """config.json of a Decoder of Config c, as a dict."""
    return dict(
        architectures=["LlamaForCausalLM"], model_type="llama",
        vocab_size=c.vocab, hidden_size=c.width,
        intermediate_size=c.hidden, num_hidden_layers=c.depth,
        num_attention_heads=c.heads,
        num_key_value_heads=c.kv_heads or c.heads,
        head_dim=c.head_width or c.width // c.heads,
        rms_norm_eps=c.eps, tie_word_embeddings=c.tied,
        rope_parameters=dict(rope_type="default", rope_theta=c.base),
        max_position_embeddings=length, hidden_act="silu",
        bos_token_id=end, eos_token_id=end, dtype="float32")


SIGNS = {byte: chr(byte if i < len(PRINTED) else 256 + i - len(PRINTED))
         for i, byte in enumerate(ORDER)}


def hub_tokenizer(pieces, merges, end="<|endoftext|>"):
    """Day 31's pieces and merges as a tokenizers.Tokenizer."""
    from tokenizers import Tokenizer, decoders, models
    from tokenizers import pre_tokenizers as splitters
    words = ["".join(SIGNS[b] for b in piece) for piece in pieces]
    pairs = [(words[a], words[b]) for a, b in merges]   # in rank order
    made = Tokenizer(models.BPE(
        vocab={word: i for i, word in enumerate(words)}, merges=pairs))
    made.pre_tokenizer = splitters.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([end])
    return made


def save_hub(folder, model, pieces, merges, length):
    """Write config, weights and tokenizer in the hub's format."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    end = len(pieces)
    (folder / "config.json").write_text(json.dumps(
        hub_config(model.config, end, length), indent=1))
    save_file(hub_tensors(model), folder / "model.safetensors",
              metadata={"format": "pt"})
    hub_tokenizer(pieces, merges).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(dict(
        tokenizer_class="PreTrainedTokenizerFast",
        eos_token="<|endoftext|>", bos_token="<|endoftext|>",
        clean_up_tokenization_spaces=False)))
    return folder


def safe_chat(tokenizer, turns):
    """Ids of ChatML turns; markers inside content stay plain text."""
    start, stop = tokenizer.convert_tokens_to_ids(
        ["<|im_start|>", "<|im_end|>"])
    ids = []

    def plain(text):
        return tokenizer(text, split_special_tokens=True,
                         add_special_tokens=False)["input_ids"]

    for turn in turns:
        ids += [start, *plain(f"{turn['role']}\n{turn['content']}"),
                stop, *plain("\n")]
    return [*ids, start, *plain("assistant\n")]
