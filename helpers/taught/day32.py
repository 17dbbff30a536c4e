"""Built in day 32, Embeddings: ``runner taught`` copies it from day32_embeddings.ipynb."""

import re
from collections import Counter

import torch
import torch.nn.functional as F


def sentences_of(texts):
    """Lower-case words of each text; HTML tags are dropped."""
    word = re.compile(r"[a-z]+(?:'[a-z]+)?")
    return [word.findall(re.sub(r"<[^>]+>", " ", text.lower()))
            for text in texts]


def numbered(sentences, least=10):
    """Words seen `least` times, most frequent first; texts as numbers."""
    counts = Counter(word for line in sentences for word in line)
    known = [w for w, n in counts.most_common() if n >= least]
    number = {word: i for i, word in enumerate(known)}
    lines = [[number[w] for w in line if w in number]
             for line in sentences]
    return known, torch.tensor([counts[w] for w in known]), lines


def pairs_of(lines, freq, window, generator, thin=5e-4):
    """(2, pairs): centre and context, up to 1…window (drawn) apart."""
    flat = torch.tensor([i for line in lines for i in line])
    text = torch.repeat_interleave(
        torch.arange(len(lines)), torch.tensor([len(x) for x in lines]))
    share = freq / freq.sum()
    keep = (thin / share[flat]).sqrt() > torch.rand(
        len(flat), generator=generator)
    flat, text = flat[keep], text[keep]
    reach = torch.randint(1, window + 1, (len(flat),),
                          generator=generator)
    found = []
    for gap in range(1, window + 1):
        left, right = flat[:-gap], flat[gap:]
        same = text[:-gap] == text[gap:]
        one, two = same & (reach[:-gap] >= gap), same & (reach[gap:] >= gap)
        found.append(torch.stack([left[one], right[one]]))
        found.append(torch.stack([right[two], left[two]]))
    return torch.cat(found, dim=1)


def push(u, v, noise, k):
    """Gradients of the loss: u, v (pairs, d), noise (m, d) shared."""
    real = ((u * v).sum(1, keepdim=True)).sigmoid() - 1     # (pairs, 1)
    fake = (u @ noise.T).sigmoid() * (k / len(noise))       # (pairs, m)
    return real * v + fake @ noise, real * u, fake.T @ u


def word2vec(pairs, freq, width, generator, k=5, rate=0.1, batch=8192):
    """One pass over the pairs: word and context tables, (words, width)."""
    U = (torch.rand(len(freq), width, generator=generator) - 0.5) / width
    tables = [U.to(pairs.device), torch.zeros_like(U).to(pairs.device)]
    squares = [torch.full_like(t, 1e-8) for t in tables]
    q = freq.double() ** 0.75
    order = torch.randperm(pairs.shape[1], generator=generator)
    for at in order.to(pairs.device).split(batch):
        w, c = pairs[:, at]
        z = torch.multinomial(q, 256, True, generator=generator)
        z = z.to(pairs.device)
        du, dv, dz = push(tables[0][w], tables[1][c], tables[1][z], k)
        step = [torch.zeros_like(t) for t in tables]
        step[0].index_add_(0, w, du)
        step[1].index_add_(0, c, dv).index_add_(0, z, dz)
        for t, s, g in zip(tables, squares, step):
            s += g * g
            t -= rate * g / s.sqrt()
    return tables


@torch.no_grad()
def text_vectors(texts, tokenizer, model, context=True, most=128):
    """Unit vectors (texts, width), means over real tokens: of the
    outputs, or (context=False) of the input rows without marks."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    marks = torch.tensor(tokenizer.all_special_ids)
    out = [None] * len(texts)
    for some in (order[at:at + 32] for at in range(0, len(order), 32)):
        batch = tokenizer([texts[i] for i in some], padding=True,
            truncation=True, max_length=most, return_tensors="pt")
        mask = batch["attention_mask"]
        if not context:
            mask = mask * ~torch.isin(batch["input_ids"], marks)
        mask, batch = (x.to(model.device) for x in (mask, batch))
        h = (model(**batch).last_hidden_state if context else
             model.embeddings.word_embeddings(batch["input_ids"]))
        mean = F.normalize((h * mask[:, :, None]).sum(1), dim=1)
        for i, vector in zip(some, mean):
            out[i] = vector
    return torch.stack(out)
