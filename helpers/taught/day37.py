"""Built in day 37, Architectures: ``runner taught`` copies it from day37_architectures.ipynb."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from helpers import zoo
from helpers.taught.day34 import GroupedAttention, causal_mask
from helpers.taught.day35 import rope_frequencies, rotate
from helpers.taught.day36 import LLAMA, Block, FeedForward, LayerNorm, RMSNorm, SwiGLU


@dataclass(frozen=True)
class Config:
    """Sizes of a model; kv_heads and head_width default as usual."""
    vocab: int
    width: int
    heads: int
    depth: int
    hidden: int
    kv_heads: int | None = None
    head_width: int | None = None
    eps: float = 1e-5
    base: float = 10000.0              # of the rotary positions
    tied: bool = True                  # output matrix = embedding
    places: int = 512                  # the encoder's learned positions


def decoder_blocks(c):
    """Llama's blocks: pre-norm, RMSNorm, grouped heads, SwiGLU."""
    return nn.ModuleList(
        Block(GroupedAttention(c.width, c.heads, c.kv_heads,
                               head_width=c.head_width),
              SwiGLU(c.width, c.hidden), partial(RMSNorm, c.width, c.eps))
        for _ in range(c.depth))


def run_stack(blocks, x, c, mask=None, positions=None, caches=None,
              **options):
    """x (batch, n, width) through blocks with rotary positions."""
    if positions is None:
        positions = torch.arange(x.shape[1], device=x.device)
    waves = rope_frequencies(c.head_width or c.width // c.heads, c.base)
    turn = partial(rotate, positions=positions,
                   frequencies=waves.to(x.device))
    for i, block in enumerate(blocks):
        cache = caches[i] if caches else None
        x = block(x, mask, rotate=turn, cache=cache, **options)
    return x


class Decoder(nn.Module):
    """Llama's shape: ids (batch, n) -> logits (batch, n, vocab)."""
    def __init__(self, c):
        super().__init__()
        self.config, self.embed = c, nn.Embedding(c.vocab, c.width)
        self.blocks = decoder_blocks(c)
        self.norm = RMSNorm(c.width, c.eps)
        self.head = nn.Linear(c.width, c.vocab, bias=False)
        if c.tied:
            self.head.weight = self.embed.weight

    def forward(self, ids, *, mask=None, caches=None, positions=None):
        n, past = ids.shape[1], len(caches[0]) if caches else 0
        if positions is None:
            positions = torch.arange(past, past + n, device=ids.device)
        if mask is None:
            mask = causal_mask(n, past + n, device=ids.device)
        x = run_stack(self.blocks, self.embed(ids), self.config, mask,
                      positions, caches)
        return self.head(self.norm(x))


class Encoder(nn.Module):
    """BERT's shape: ids (batch, n) -> states (batch, n, width)."""
    def __init__(self, c):
        super().__init__()
        self.config, norm = c, partial(LayerNorm, c.width, c.eps)
        self.token, self.place, self.kind = (
            nn.Embedding(rows, c.width) for rows in (c.vocab, c.places, 2))
        self.norm = norm()
        self.blocks = nn.ModuleList(
            Block(GroupedAttention(c.width, c.heads, bias=True),
                  FeedForward(c.width, c.hidden), norm, post=True)
            for _ in range(c.depth))

    def forward(self, ids, seen=None, kinds=0):
        x = self.token(ids) + self.place.weight[:ids.shape[1]]
        x = self.norm(x + self.kind.weight[kinds])
        mask = None if seen is None else seen.bool()[:, None, None]
        for block in self.blocks:
            x = block(x, mask)
        return x


class CrossBlock(Block):
    """A pre-norm block that also looks into a memory."""
    def __init__(self, attend, look, feed, norm):
        super().__init__(attend, feed, norm)
        self.look, self.norm3 = look, norm()

    def forward(self, x, mask=None, memory=None, rotate=None, cache=None):
        x = x + self.attend(self.norm1(x), mask, rotate=rotate,
                            cache=cache)
        x = x + self.look(self.norm3(x), memory=memory, rotate=rotate)
        return x + self.feed(self.norm2(x))


def cross_block(c):
    own, look = (GroupedAttention(c.width, c.heads, c.kv_heads)
                 for _ in range(2))
    return CrossBlock(own, look, SwiGLU(c.width, c.hidden),
                      partial(RMSNorm, c.width, c.eps))


class EncoderDecoder(nn.Module):
    """T5's shape: two texts in, logits of the second's next out."""
    def __init__(self, c):
        super().__init__()
        self.config, self.embed = c, nn.Embedding(c.vocab, c.width)
        self.reads = decoder_blocks(c)
        self.writes = nn.ModuleList(
            cross_block(c) for _ in range(c.depth))
        self.norm1, self.norm2 = (RMSNorm(c.width, c.eps)
                                  for _ in range(2))

    def encode(self, ids):
        x = run_stack(self.reads, self.embed(ids), self.config)
        return self.norm1(x)

    def forward(self, memory, ids):
        mask = causal_mask(ids.shape[1], device=ids.device)
        x = run_stack(self.writes, self.embed(ids), self.config, mask,
                      memory=memory)
        return self.norm2(x) @ self.embed.weight.T


def picked(tensors, names, spare=()):
    """tensors under our names; one that has no place is an error."""
    rest = set(tensors) - set(names.values()) - set(spare)
    if rest:
        raise ValueError("tensors of the checkpoint without a place: "
                         + ", ".join(sorted(rest)[:3]))
    return {ours: tensors[theirs] for ours, theirs in names.items()}


def llama_from(config, tensors):
    """A Decoder with a Llama checkpoint (transformers' names)."""
    rope = config.get("rope_parameters") or config
    c = Config(config["vocab_size"], config["hidden_size"],
               config["num_attention_heads"],
               config["num_hidden_layers"], config["intermediate_size"],
               config.get("num_key_value_heads"), config.get("head_dim"),
               config["rms_norm_eps"], rope.get("rope_theta", 1e4),
               config["tie_word_embeddings"])
    names = {"embed.weight": "model.embed_tokens.weight",
             "norm.weight": "model.norm.weight",
             "head.weight": "model.embed_tokens.weight" if c.tied
             else "lm_head.weight"}
    for i in range(c.depth):
        names |= {f"blocks.{i}.{a}": f"model.layers.{i}.{b}"
                  for a, b in LLAMA.items()}
    return fill(Decoder, c, picked(tensors, names))


def fill(kind, c, state):
    """kind(c) with these tensors in place of its weights; eval."""
    with torch.device("meta"):
        model = kind(c)
    model.load_state_dict(state, assign=True)
    if kind is Decoder and c.tied:         # one tensor, one parameter
        model.head.weight = model.embed.weight
    return model.eval()


BERT = {"attend.query": "attention.self.query",
        "attend.key": "attention.self.key",
        "attend.value": "attention.self.value",
        "attend.output": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "feed.up": "intermediate.dense", "feed.down": "output.dense",
        "norm2": "output.LayerNorm"}


def bert_from(config, tensors):
    """An Encoder with a BERT checkpoint (transformers' names)."""
    c = Config(config["vocab_size"], config["hidden_size"],
               config["num_attention_heads"],
               config["num_hidden_layers"], config["intermediate_size"],
               eps=config["layer_norm_eps"],
               places=config["max_position_embeddings"])
    pooler = ("pooler.dense.weight", "pooler.dense.bias")
    names = bert_names(c.depth)
    return fill(Encoder, c, picked(tensors, names, spare=pooler))


def bert_names(depth):
    """Our names of a BERT's tensors -> transformers' names."""
    part = "embeddings."
    names = {"norm.bias": f"{part}LayerNorm.bias"}
    for a, b in (("token", "word_embeddings"), ("norm", "LayerNorm"),
                 ("place", "position_embeddings"),
                 ("kind", "token_type_embeddings")):
        names[f"{a}.weight"] = f"{part}{b}.weight"
    for i in range(depth):
        for a, b in BERT.items():
            for kind in ("weight", "bias"):
                names[f"blocks.{i}.{a}.{kind}"] = (
                    f"encoder.layer.{i}.{b}.{kind}")
    return names


def load_llama(device="cpu"):
    """SmolLM2-135M-Instruct (quantised, see zoo) in our Decoder."""
    return llama_from(*zoo.smollm_weights()).to(device)


def load_bert(device="cpu"):
    """all-MiniLM-L6-v2 in our Encoder."""
    return bert_from(*zoo.minilm_weights()).to(device)
