"""Built in day 39, Decoding: ``runner taught`` copies it from day39_decoding.ipynb."""

import torch


def cut(logits, k=0, p=1.0, floor=0.0):
    """logits (batch, vocab) with −inf at what the filters drop."""
    if k:
        least = logits.topk(min(k, logits.shape[-1])).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if p < 1:
        ordered, place = logits.sort(descending=True)
        share = ordered.softmax(-1)
        before = share.cumsum(-1) - share      # what better ones have
        drop = (before >= p).scatter(1, place, before >= p)
        logits = logits.masked_fill(drop, -torch.inf)
    if floor:
        share = logits.softmax(-1)
        weak = share < floor * share.amax(-1, keepdim=True)
        logits = logits.masked_fill(weak, -torch.inf)
    return logits


def sampler(temperature=1.0, generator=None, **filters):
    """A function: logits (batch, vocab) -> tokens (batch, 1)."""
    def choose(logits):
        share = cut(logits / temperature, **filters).softmax(-1)
        return torch.multinomial(share, 1, generator=generator)
    return choose


def greedy(logits):
    """The most probable tokens: (batch, vocab) -> (batch, 1)."""
    return logits.argmax(-1, keepdim=True)


class Cache:
    """One layer's keys and values in memory that is laid out once."""
    def __init__(self, room):
        self.room, self.length, self.kept = room, 0, None

    def append(self, k, v):
        """k, v (batch, heads, new, d) -> the same with all tokens."""
        old, self.length = self.length, self.length + k.shape[2]
        if self.length > self.room:
            raise ValueError(f"{self.length} tokens in a cache with room "
                             f"for {self.room}: make it larger")
        if self.kept is None:
            self.kept = tuple(t.new_empty(*t.shape[:2], self.room,
                                          t.shape[3]) for t in (k, v))
        for whole, new in zip(self.kept, (k, v)):
            whole[:, :, old:self.length] = new
        return tuple(t[:, :, :self.length] for t in self.kept)

    def __len__(self):
        return self.length


def forget(caches, length):
    """Keep the first `length` tokens; the next append overwrites."""
    for cache in caches:
        cache.length = min(length, cache.length)


def rows(caches, which):
    """Texts `which` (indices) of the batch, in that order."""
    for cache in caches:
        cache.kept = tuple(t[which] for t in cache.kept)


@torch.no_grad()
def write(model, ids, count, choose, stop=None):
    """ids (batch, n) and up to count chosen tokens behind them."""
    caches = [Cache(ids.shape[1] + count) for _ in model.blocks]
    new, done = ids, torch.zeros_like(ids[:, :1], dtype=torch.bool)
    for _ in range(count):
        new = choose(model(new, caches=caches)[:, -1])
        if stop is not None:                   # after its end, a text
            new = new.masked_fill(done, stop)  # only repeats the stop
            done |= new == stop
        ids = torch.cat([ids, new], 1)
        if stop is not None and done.all():
            break
    return ids


@torch.no_grad()
def beam(model, ids, width, count, forbid):
    """ids (1, n) and the best count tokens that `width` beams find."""
    caches = [Cache(ids.shape[1] + count) for _ in model.blocks]
    new, total = ids, torch.zeros(1, device=ids.device)
    for _ in range(count):
        logp = model(new, caches=caches)[:, -1].log_softmax(-1)
        logp[:, forbid] = -torch.inf
        total, place = (total[:, None] + logp).flatten().topk(width)
        parent = place // logp.shape[1]
        new = place[:, None] % logp.shape[1]
        ids = torch.cat([ids[parent], new], 1)
        rows(caches, parent)
    return ids[:1], total[0].item()        # topk sorts: the first is best


def speculate(target, draft, ids, gamma, g=None):
    """ids (a list) with 1 to gamma + 1 more tokens.

    target, draft: (ids, n) -> probabilities of the next token after
    each of the last n ids, (n, vocab).
    """
    def draw(share):
        return torch.multinomial(share, 1, generator=g).item()
    guess, q = list(ids), []
    for _ in range(gamma):
        q.append(draft(guess, 1)[0])
        guess.append(draw(q[-1]))
    p = target(guess, gamma + 1)             # one pass: gamma + 1 rows
    for i, x in enumerate(guess[len(ids):]):
        if torch.rand((), generator=g) * q[i][x] >= p[i][x]:   # refused
            rest = (p[i] - q[i]).clamp_min(0)
            return guess[:len(ids) + i] + [draw(rest)]
    return guess + [draw(p[gamma])]


DIGITS = "0123456789"


RULES = {                       # (due, character): owed instead
    **{("V", c): "N" for c in DIGITS[1:]}, ("V", "0"): "Z",
    ("V", "-"): "D", **{("D", c): "N" for c in DIGITS[1:]},
    ("D", "0"): "Z", **{("N", c): "N" for c in DIGITS},
    ("N", "."): "F", ("Z", "."): "F", **{("F", c): "G" for c in DIGITS},
    **{("G", c): "G" for c in DIGITS}, ("V", '"'): "S", ("S", '"'): "",
    ("S", "\\"): "ES", **{("E", c): "" for c in '"\\/bfnrt'},
    ("V", "t"): "rue", ("V", "f"): "alse", ("V", "n"): "ull",
    ("V", "{"): "O", ("O", "}"): "", ("O", '"'): "S:VP",
    ("P", ","): "K", ("P", "}"): "", ("K", '"'): "S:VP",
    ("V", "["): "A", ("A", "]"): "", ("C", ","): "VC", ("C", "]"): ""}


def step(owed, ch):
    """What is owed after one more character, or None: not JSON."""
    if not owed:
        return None
    due, rest = owed[0], owed[1:]
    if (due, ch) in RULES:
        return RULES[due, ch] + rest
    if due == "S":                       # inside a string
        return owed if " " <= ch <= "~" else None
    if due == "A" and ch not in " \n":   # the first of an array
        return step("VC" + rest, ch)
    if due in "NZG":                     # the number has ended
        return step(rest, ch)
    if ch in " \n" and due in "VOKPAC:":
        return owed
    return rest if due == ch and not due.isupper() else None


def to_close(owed):
    """Fewest characters that end the text; K needs \"\":0 and a brace."""
    cost = dict(K=5, N=0, Z=0, G=0, E=1)
    return sum(cost.get(due, 1) for due in owed)


def token_tree(texts):
    """Nested dicts by character; the key 0 holds a token's id."""
    tree = {}
    for i, text in enumerate(texts):
        node = tree
        for ch in text or "":
            node = node.setdefault(ch, {})
        if text:
            node[0] = i
    return tree


def closing(tree, owed):
    """{token: characters needed to close behind it}, if allowed."""
    found, todo = {}, [(tree, owed)]
    while todo:
        node, now = todo.pop()
        for ch, below in node.items():
            if ch == 0:
                found[below] = to_close(now)
            elif (then := step(now, ch)) is not None:
                todo.append((below, then))
    return found


def lookup(ids, gamma):
    """Up to gamma tokens that followed the last 3 (or 2) before."""
    for size in (3, 2):
        tail = ids[-size:]
        for i in range(len(ids) - size - 1, -1, -1):
            if ids[i:i + size] == tail:
                return ids[i + size:i + size + gamma]
    return []


@torch.no_grad()
def write_ahead(model, ids, count, gamma):
    """Greedy tokens behind the list ids, and the passes they took."""
    device = model.embed.weight.device
    room, seen, passes = len(ids) + count, 0, 0
    caches = [Cache(room + gamma) for _ in model.blocks]
    while len(ids) < room:
        guess = lookup(ids, gamma) if gamma else []
        new = torch.tensor([ids[seen:] + guess], device=device)
        best = model(new, caches=caches)[0].argmax(-1).tolist()
        best, passes = best[-len(guess) - 1:], passes + 1
        good = 0
        while good < len(guess) and guess[good] == best[good]:
            good += 1
        ids = (ids + best[:good + 1])[:room]
        seen = len(ids) - 1
        forget(caches, seen)             # wrong guesses leave the cache
    return ids, passes
