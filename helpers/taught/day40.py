"""Built in day 40, Scaling laws: ``runner taught`` copies it from day40_scaling_laws.ipynb."""

import numpy as np


def block_parameters(c, experts=None):
    """Numbers in one Llama-like block; experts: how many to count."""
    d, h = c["width"], c.get("head", c["width"] // c["heads"])
    wide, thin = c["heads"] * h, c["groups"] * h
    attend = 2 * d * wide + 2 * d * thin
    if c.get("bias"):                      # Qwen2: query, key, value
        attend += wide + 2 * thin
    if c.get("head_norm"):                 # Qwen3: gains of a head
        attend += 2 * h
    feed, many = 3 * d * c["hidden"], c.get("experts", 0)
    if many:
        feed = feed * (experts or many) + d * many      # and the router
    return attend + feed + 2 * d


def parameters(c, active=False):
    """Stored parameters of a model; or those that one token uses."""
    each = block_parameters(c, c.get("chosen") if active else None)
    tables = 1 if c.get("tied") else 2
    vocabulary = tables * c["vocab"] * c["width"]
    return vocabulary + c["layers"] * each + c["width"]


def train_flops(c, tokens, length):
    """Matrix FLOPs, forward and backward, of texts of this length."""
    d, h = c["width"], c.get("head", c["width"] // c["heads"])
    weights = 2 * d * (c["heads"] + c["groups"]) * h
    feed = 3 * d * c["hidden"]
    many = c.get("experts", 0)
    weights += c["chosen"] * feed + d * many if many else feed
    linear = c["layers"] * weights + c["vocab"] * d
    mixing = c["layers"] * 2 * length * c["heads"] * h
    return 6 * tokens * (linear + mixing)


def row(width, hidden, layers, heads, groups, vocab, **more):
    return dict(width=width, hidden=hidden, layers=layers, heads=heads,
                groups=groups, vocab=vocab) | more


MODELS = {
    "SmolLM2 135M": row(576, 1536, 30, 9, 3, 49152, tied=True),
    "Qwen2.5 0.5B": row(896, 4864, 24, 14, 2, 151936, tied=True,
                        bias=True),
    "Gemma 2B": row(2048, 16384, 18, 8, 1, 256000, tied=True, head=256),
    "Mistral 7B": row(4096, 14336, 32, 32, 8, 32000),
    "Llama 3 8B": row(4096, 14336, 32, 32, 8, 128256),
    "Qwen3 30B-A3B": row(2048, 768, 48, 32, 4, 151936, head=128,
                         head_norm=True, experts=128, chosen=8),
    "Mixtral 8x7B": row(4096, 14336, 32, 32, 8, 32000, experts=8,
                        chosen=2),
    "Llama 3.1 405B": row(16384, 53248, 126, 128, 8, 128256),
}


def library(name, c):
    """The library's configuration of a model in our table."""
    import transformers as hub
    kinds = {"SmolLM2": hub.LlamaConfig, "Llama": hub.LlamaConfig,
             "Gemma": hub.GemmaConfig, "Mistral": hub.MistralConfig,
             "Mixtral": hub.MixtralConfig, "Qwen2.5": hub.Qwen2Config,
             "Qwen3": hub.Qwen3MoeConfig}
    more = {"head_dim": c["head"]} if "head" in c else {}
    if "experts" in c:
        many = "num_experts" if name[0] == "Q" else "num_local_experts"
        more |= {many: c["experts"], "num_experts_per_tok": c["chosen"],
                 "moe_intermediate_size": c["hidden"]}
    return kinds[name.split()[0]](
        vocab_size=c["vocab"], hidden_size=c["width"],
        intermediate_size=c["hidden"], num_hidden_layers=c["layers"],
        num_attention_heads=c["heads"], num_key_value_heads=c["groups"],
        tie_word_embeddings=c.get("tied", False), **more)


def straight(N, D, L, weights, a, b):
    """E, A, B for fixed exponents by least squares, and the misses."""
    X = np.stack([np.ones_like(N), N**-a, D**-b], -1) / L[:, None]
    scale = np.abs(X).max(0)
    X = X / scale                            # relative errors count
    gram = np.einsum("wr,ri,rj->wij", weights, X, X)
    gram, right = gram + 1e-12 * np.eye(3), weights @ X
    w = np.linalg.solve(gram, right[..., None])[..., 0]
    low = w[:, 0] < 0                        # no negative entropy
    w[low, 0] = 0
    w[low, 1:] = np.linalg.solve(
        gram[low, 1:, 1:], right[low, 1:, None])[..., 0]
    miss = (weights * (w @ X.T - 1) ** 2).sum(1)
    miss[(w[:, 1:] < 0).any(1)] = np.inf     # no harm from more
    return w / scale, miss


def fit_law(N, D, L, weights, grid):
    """Rows E, A, a, B, b: one for each row of weights (draws, runs)."""
    best = np.full(len(weights), np.inf)
    out = np.zeros((len(weights), 5))
    for a in grid:
        for b in grid:
            w, miss = straight(N, D, L, weights, a, b)
            won = miss < best
            out[won] = np.stack([w[:, 0], w[:, 1], np.full(len(w), a),
                                 w[:, 2], np.full(len(w), b)], 1)[won]
            best[won] = miss[won]
    return out


def law(c, N, D):
    """Loss by constants c (…, 5)."""
    E, A, a, B, b = np.moveaxis(np.asarray(c), -1, 0)
    return E + A * N**-a + B * D**-b
