"""Built in day 16, Decorators: ``runner taught`` copies it from day16_decorators.ipynb."""

import functools
import random
import time


def timed(fn=None, *, clock=time.perf_counter):
    """Count calls and seconds; as @timed or @timed(clock=...)."""
    if fn is None:
        return functools.partial(timed, clock=clock)

    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        begin = clock()
        try:
            return fn(*args, **kwargs)
        finally:                      # failed calls count, too
            wrapper.calls += 1
            wrapper.seconds += clock() - begin

    wrapper.calls, wrapper.seconds = 0, 0.0
    return wrapper


class Clock:
    """A clock that moves only when told: clock(), clock.sleep(s)."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def retry(tries=5, base=0.1, cap=10.0, on=(OSError,),
          sleep=time.sleep, draw=random.random):
    """Try again after errors in `on`; waits draw() x min(cap, base 2^k)."""
    def decorate(fn):
        @functools.wraps(fn)
        def wrapper(*args, **kwargs):
            for k in range(1, tries + 1):
                try:
                    return fn(*args, **kwargs)
                except on:
                    if k == tries:
                        raise                     # with its traceback
                    sleep(draw() * min(cap, base * 2**k))
        return wrapper
    return decorate


class Registry(dict):
    """Names to functions: @models.register("mlp"), then models["mlp"]."""

    def __init__(self, kind):
        self.kind = kind

    def register(self, name):
        def add(fn):
            if name in self:
                raise ValueError(f"{self.kind} {name!r} is taken by "
                                 f"{self[name].__qualname__}")
            self[name] = fn
            return fn
        return add

    def __missing__(self, name):
        raise KeyError(f"no {self.kind} named {name!r}; there are: "
                       + ", ".join(sorted(self)))


class Positive:
    """A number of a configuration that must be above zero."""

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, obj, owner=None):
        return self if obj is None else obj.__dict__[self.name]

    def __set__(self, obj, value):
        if not value > 0:             # not `value <= 0`: NaN is neither
            raise ValueError(f"{self.name} = {value}: must be above 0")
        obj.__dict__[self.name] = value


class once:
    """A method that runs at the first reading; then the value stands."""

    def __init__(self, fn):
        self.fn, self.__doc__ = fn, fn.__doc__

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, obj, owner=None):
        if obj is None:
            return self
        value = obj.__dict__[self.name] = self.fn(obj)
        return value
