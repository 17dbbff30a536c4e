"""Built in day 06, Automatic differentiation: ``runner taught`` copies it from day06_autodiff.ipynb."""

import numpy as np


class Tensor:
    """A NumPy array with one edge per operand: (operand, pull-back)."""

    __array_ufunc__ = None  # array + Tensor: NumPy leaves it to Tensor

    def __init__(self, value, *edges, learns=True):
        self.value = np.asarray(value)
        self.edges = [(t, pull) for t, pull in edges if t.learns]
        self.learns = bool(self.edges) if edges else learns
        self.grad = None

    @property
    def shape(self):
        return self.value.shape


def lift(x):
    """A constant as a Tensor that does not learn."""
    return x if isinstance(x, Tensor) else Tensor(x, learns=False)


def add(a, b):
    a, b = lift(a), lift(b)
    return Tensor(a.value + b.value,
                  (a, lambda up: up), (b, lambda up: up))


def mul(a, b):
    a, b = lift(a), lift(b)
    return Tensor(a.value * b.value,
                  (a, lambda up: up * b.value),
                  (b, lambda up: up * a.value))


def unbroadcast(g, shape):
    """Sum g over the axes that broadcasting added or stretched."""
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1)
    return g.sum(axis=stretched, keepdims=True)


def count_users(out):
    """For each value under `out`: how many edges lead to it."""
    users, todo = {out: 0}, [out]
    while todo:
        for parent, _ in todo.pop().edges:
            if parent not in users:
                users[parent] = 0
                todo.append(parent)
            users[parent] += 1
    return users


def backward(out, up=1.0):
    """Add d(sum of up * out)/d(leaf) to the grad of every leaf."""
    users, ready = count_users(out), [out]
    grads = {out: np.full(out.shape, up, out.value.dtype)}
    while ready:
        t = ready.pop()
        g = grads.pop(t)                            # complete by now
        if not t.edges:
            t.grad = g if t.grad is None else t.grad + g
        for parent, pull in t.edges:
            part = unbroadcast(pull(g), parent.shape)
            grads[parent] = grads.get(parent, 0) + part
            users[parent] -= 1
            if users[parent] == 0:                  # all users reported
                ready.append(parent)


def power(a, n):
    return Tensor(a.value**n,
                  (a, lambda up: up * n * a.value ** (n - 1)))


def exp(a):
    out = np.exp(a.value)
    return Tensor(out, (a, lambda up: up * out))


def log(a):
    return Tensor(np.log(a.value), (a, lambda up: up / a.value))


def tanh(a):
    out = np.tanh(a.value)
    return Tensor(out, (a, lambda up: up * (1 - out**2)))


def relu(a):
    on = a.value > 0                  # at exactly 0 the slope is taken as 0
    return Tensor(a.value * on, (a, lambda up: up * on))


def flip(x):
    return np.swapaxes(x, -1, -2)


def matmul(a, b):
    """(…, m, k) @ (…, k, n): both operands have at least two axes."""
    a, b = lift(a), lift(b)
    return Tensor(a.value @ b.value,
                  (a, lambda up: up @ flip(b.value)),
                  (b, lambda up: flip(a.value) @ up))


def swap(a, i=-1, j=-2):
    return Tensor(np.swapaxes(a.value, i, j),
                  (a, lambda up: np.swapaxes(up, i, j)))


def reshape(a, shape):
    return Tensor(a.value.reshape(shape),
                  (a, lambda up: up.reshape(a.shape)))


def total(a, axis=None, keepdims=False):
    def pull(up):                     # a sum copies its slope to every term
        if axis is not None and not keepdims:
            up = np.expand_dims(up, axis)
        return np.broadcast_to(up, a.shape)
    return Tensor(a.value.sum(axis=axis, keepdims=keepdims), (a, pull))


def mean(a, axis=None, keepdims=False):
    out = total(a, axis, keepdims)
    return mul(out, out.value.size / a.value.size)


def largest(a, axis=-1, keepdims=False):
    top = a.value.max(axis=axis, keepdims=True)
    share = (a.value == top) / (a.value == top).sum(axis, keepdims=True)
    def pull(up):                     # ties share the slope equally
        return share * (up if keepdims else np.expand_dims(up, axis))
    return Tensor(top if keepdims else top.squeeze(axis), (a, pull))


def take(a, index):
    def pull(up):                     # an entry taken twice collects twice
        g = np.zeros_like(a.value)
        np.add.at(g, index, up)
        return g
    return Tensor(a.value[index], (a, pull))


def log_softmax(a, axis=-1):
    s = a.value - a.value.max(axis, keepdims=True)
    out = s - np.log(np.exp(s).sum(axis, keepdims=True))
    return Tensor(out, (a, lambda up: up - np.exp(out)
                        * up.sum(axis, keepdims=True)))


def softmax(a, axis=-1):
    p = np.exp(log_softmax(a, axis).value)
    return Tensor(p, (a, lambda up: p * (
        up - (up * p).sum(axis, keepdims=True))))


def cross_entropy(logits, labels):
    """Mean of -log p(label); logits (batch, classes), labels (batch,)."""
    rows = np.arange(len(labels))
    return mul(mean(take(log_softmax(logits), (rows, labels))), -1.0)


Tensor.__add__ = Tensor.__radd__ = add


Tensor.__mul__ = Tensor.__rmul__ = mul


Tensor.__sub__ = lambda a, b: add(a, mul(b, -1.0))


Tensor.__truediv__ = lambda a, b: mul(a, power(lift(b), -1.0))


Tensor.__pow__ = power


Tensor.__matmul__ = matmul


Tensor.__rmatmul__ = lambda b, a: matmul(a, b)


Tensor.__getitem__ = take
