"""What a fingerprint sees and what it leaves out, edit by edit."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import pytest

from funade.declare import syntax
from funade.declare.fingerprint import Fingerprint, fingerprint, symbol_reach
from funade.errors import DeclarationError

Verdict = Literal["same", "changed", "may change"]
Files = dict[str, str]
ROOT = "taxi/main.py"


class Edit(NamedTuple):
    name: str
    before: Files
    after: Files
    verdict: Verdict


def edit(name: str, before: str, after: str, verdict: Verdict, **others: str) -> Edit:
    """An edit of `taxi/main.py`; `others` are further modules that stay as they are."""
    rest = {f"taxi/{module}.py": text for module, text in others.items()}
    return Edit(name, rest | {ROOT: before}, rest | {ROOT: after}, verdict)


def edit_beside(name: str, main: str, before: str, after: str, verdict: Verdict) -> Edit:
    """An edit of `taxi/beside.py`, seen from a `taxi/main.py` that stays as it is."""
    return Edit(name, {ROOT: main, "taxi/beside.py": before}, {ROOT: main, "taxi/beside.py": after}, verdict)


USES = "from taxi.beside import {0}\n\ndef root(x):\n    return {0}(x)\n"
WRAPS = """
import functools
def loud(fn):
    @functools.wraps(fn)
    def inner(*args):
        return fn(*args) + {0}
    return inner
@loud
def help(x):
    return x + {1}
"""
FACTORY = "def make(n):\n    def inner(x):\n        return x * n\n    return inner\nhelp = make({0})\n"

EDITS = [
    # what is said differently
    edit("comment", "def root(x):\n    return x\n", "# hi\ndef root(x):  # ho\n    return x\n", "same"),
    edit("formatting", "def root(x):\n    return [x, 1]\n", "def root( x ):\n    return [\n        x,\n        1,\n    ]\n", "same"),
    edit("docstring of the function", "def root(x):\n    return x\n", 'def root(x):\n    "Say."\n    return x\n', "same"),
    edit("docstring of the module", "def root(x):\n    return x\n", '"Say."\ndef root(x):\n    return x\n', "same"),
    edit_beside("docstring of a class", USES.format("A"), "class A:\n    def __init__(self, x): ...\n",
                'class A:\n    "Say."\n    def __init__(self, x):\n        "Make."\n', "same"),
    edit("only a docstring instead of pass", "def root(x):\n    pass\n", 'def root(x):\n    "Say."\n', "same"),
    edit("quotes", "def root(x):\n    return 'a'\n", 'def root(x):\n    return "a"\n', "same"),
    edit("quotes inside an f-string", "def root(x):\n    return f'{x[\"a\"]}!'\n", 'def root(x):\n    return f"{x[\'a\']}" "!"\n', "same"),
    edit("spelling of a number", "def root(x):\n    return 1_000\n", "def root(x):\n    return 1000\n", "same"),
    edit("spelling of a float", "def root(x):\n    return 1e3\n", "def root(x):\n    return 1000.0\n", "same"),
    edit("int instead of float", "def root(x):\n    return 1000\n", "def root(x):\n    return 1000.0\n", "changed"),
    edit("parentheses", "def root(x):\n    return x + 1\n", "def root(x):\n    return (x + 1)\n", "same"),
    edit("renamed local", "def root(x):\n    y = x\n    return y\n", "def root(x):\n    z = x\n    return z\n", "may change"),
    edit("annotation of a parameter", "def root(x):\n    return x\n", "def root(x: int) -> int:\n    return x\n", "same"),
    edit("annotation of a local", "def root(x):\n    y = x\n    return y\n", "def root(x):\n    y: int = x\n    return y\n", "same"),
    edit_beside("annotation of a helper", USES.format("help"), "def help(x):\n    return x\n", "def help(x: float):\n    return x\n", "same"),
    edit_beside("annotation below a decorator", "from taxi.beside import help\ndef root(x):\n    return help(x)\n",
                "import functools\n@functools.singledispatch\ndef help(x): return 0\n@help.register\ndef _(x: int): return 1\n",
                "import functools\n@functools.singledispatch\ndef help(x): return 0\n@help.register\ndef _(x: str): return 1\n", "changed"),
    edit("alias of a type", "Rows = list[int]\ndef root(x: Rows):\n    return x\n", "Rows = list[str]\ndef root(x: Rows):\n    return x\n", "same"),
    # where it stands
    edit("renamed root", "def root(x):\n    return x\n", "def other(x):\n    return x\n", "same"),
    edit("moved within the file", "def help(x):\n    return x\ndef root(x):\n    return help(x)\n",
         "def root(x):\n    return help(x)\n\n\ndef help(x):\n    return x\n", "same"),
    edit("helper moved to another module", "from taxi.one import help\ndef root(x):\n    return help(x)\n",
         "from taxi.two import help\ndef root(x):\n    return help(x)\n", "may change",
         one="def help(x):\n    return x\n", two="def help(x):\n    return x\n"),
    Edit("root moved to another module", {ROOT: "def root(x):\n    return x\n"},
         {ROOT: "from taxi.other import root\n", "taxi/other.py": "\n\ndef root(x):\n    return x\n"}, "same"),
    edit("decorator above the root", "def root(x):\n    return x\n", "def mark(fn):\n    return fn\n@mark\ndef root(x):\n    return x\n", "same"),
    # what is not reached
    edit("unreached function", "def root(x):\n    return x\n", "def free():\n    return 1\ndef root(x):\n    return x\n", "same"),
    edit("unreached constant", "A = 1\ndef root(x):\n    return x\n", "A = 2\ndef root(x):\n    return x\n", "same"),
    edit("unreached import", "def root(x):\n    return x\n", "import json\ndef root(x):\n    return x\n", "same"),
    edit_beside("unread attribute of a module", "import taxi.beside as b\ndef root(x):\n    return b.help(x)\n",
                "A = 1\ndef help(x):\n    return x\n", "A = 2\ndef help(x):\n    return x\n", "same"),
    edit("local of the name of a global", "A = 1\ndef root(x):\n    A = x\n    return A\n", "A = 2\ndef root(x):\n    A = x\n    return A\n", "same"),
    # the function itself
    edit("operator", "def root(x):\n    return x + 1\n", "def root(x):\n    return x - 1\n", "changed"),
    edit("comparison", "def root(x):\n    return x < 1\n", "def root(x):\n    return x <= 1\n", "changed"),
    edit("walrus", "def root(x):\n    return (y := x) + y\n", "def root(x):\n    return (y := x + 1) + y\n", "changed"),
    edit("f-string text", "def root(x):\n    return f'a{x}'\n", "def root(x):\n    return f'b{x}'\n", "changed"),
    edit("f-string conversion", "def root(x):\n    return f'{x}'\n", "def root(x):\n    return f'{x!r}'\n", "changed"),
    edit("f-string format", "def root(x):\n    return f'{x:.1f}'\n", "def root(x):\n    return f'{x:.2f}'\n", "changed"),
    edit("match case", "def root(x):\n    match x:\n        case [1, *_]: return 1\n", "def root(x):\n    match x:\n        case [2, *_]: return 1\n", "changed"),
    edit("match guard", "def root(x):\n    match x:\n        case y if y > 1: return 1\n", "def root(x):\n    match x:\n        case y if y > 2: return 1\n", "changed"),
    edit("generator expression", "def root(x):\n    return sum(i for i in x)\n", "def root(x):\n    return sum(i for i in x if i)\n", "changed"),
    edit("constant in a comprehension", "def root(x):\n    return [i + 1 for i in x]\n", "def root(x):\n    return [i + 2 for i in x]\n", "changed"),
    edit("list instead of generator", "def root(x):\n    return sum([i for i in x])\n", "def root(x):\n    return sum(i for i in x)\n", "changed"),
    edit("async instead of plain", "def root(x):\n    return x\n", "async def root(x):\n    return x\n", "changed"),
    edit("nested function", "def root(x):\n    def f(y):\n        return y\n    return f(x)\n", "def root(x):\n    def f(y):\n        return -y\n    return f(x)\n", "changed"),
    edit("global read in a nested function", "A = 1\ndef root(x):\n    def f():\n        return A\n    return f()\n",
         "A = 2\ndef root(x):\n    def f():\n        return A\n    return f()\n", "changed"),
    edit("global read in a comprehension", "A = 1\ndef root(x):\n    return [A for _ in x]\n", "A = 2\ndef root(x):\n    return [A for _ in x]\n", "changed"),
    edit("global read in a nested class", "A = 1\ndef root(x):\n    class C:\n        a = A\n    return C\n", "A = 2\ndef root(x):\n    class C:\n        a = A\n    return C\n", "changed"),
    edit("operator in a nested lambda's default", "def root(x):\n    return (lambda f=lambda g=(lambda y: y + 1): g: f)(x)\n",
         "def root(x):\n    return (lambda f=lambda g=(lambda y: y - 1): g: f)(x)\n", "changed"),
    edit("nonlocal state", "def root(x):\n    n = 0\n    def f():\n        nonlocal n\n        n += 1\n    return f\n",
         "def root(x):\n    n = 0\n    def f():\n        n = 1\n    return f\n", "changed"),
    edit("positional-only parameter", "def root(x):\n    return x\n", "def root(x, /):\n    return x\n", "changed"),
    edit("empty body of an if", "def root(x):\n    if x:\n        pass\n    return x\n", "def root(x):\n    if x:\n        'say'\n    return x\n", "same"),
    # defaults
    edit("default value", "def root(x, n=1):\n    return x\n", "def root(x, n=2):\n    return x\n", "changed"),
    edit("keyword default", "def root(x, *, n=1):\n    return x\n", "def root(x, *, n=2):\n    return x\n", "changed"),
    edit("default by another name", "A = 1\ndef root(x, n=A):\n    return x\n", "A = 2\ndef root(x, n=A):\n    return x\n", "changed"),
    edit("value of a default spelt by name", "def root(x, n=1):\n    return x\n", "A = 1\ndef root(x, n=A):\n    return x\n", "same"),
    edit("function as a default", "def h(x):\n    return x\ndef root(x, f=h):\n    return f(x)\n", "def h(x):\n    return -x\ndef root(x, f=h):\n    return f(x)\n", "changed"),
    edit("lambda as a default", "def root(x, f=lambda x: x):\n    return f(x)\n", "def root(x, f=lambda x: -x):\n    return f(x)\n", "changed"),
    edit("unreadable default", "import threading\ndef root(x, s=threading.Semaphore(1)):\n    return x\n", "import threading\ndef root(x, s=threading.Semaphore(2)):\n    return x\n", "changed"),
    edit("unreadable default by name", "import threading\nN = 1\ndef root(x, s=threading.Semaphore(N)):\n    return x\n",
         "import threading\nN = 2\ndef root(x, s=threading.Semaphore(N)):\n    return x\n", "changed"),
    # helpers
    edit_beside("helper", USES.format("help"), "def help(x):\n    return x\n", "def help(x):\n    return -x\n", "changed"),
    Edit("helper two modules away", {ROOT: USES.format("help"), "taxi/beside.py": "from .far import far\ndef help(x):\n    return far(x)\n", "taxi/far.py": "def far(x):\n    return 1\n"},
         {ROOT: USES.format("help"), "taxi/beside.py": "from .far import far\ndef help(x):\n    return far(x)\n", "taxi/far.py": "def far(x):\n    return 2\n"}, "changed"),
    Edit("helper behind a re-export", {ROOT: USES.format("far"), "taxi/beside.py": "from .far import far\n", "taxi/far.py": "def far(x):\n    return 1\n"},
         {ROOT: USES.format("far"), "taxi/beside.py": "from .far import far\n", "taxi/far.py": "def far(x):\n    return 2\n"}, "changed"),
    edit_beside("wrapper of a helper", USES.format("help"), WRAPS.format(1, 1), WRAPS.format(2, 1), "changed"),
    edit_beside("wrapped helper", USES.format("help"), WRAPS.format(1, 1), WRAPS.format(1, 2), "changed"),
    edit_beside("argument of a helper's decorator", USES.format("help"),
                "def times(n):\n    def deco(fn):\n        return lambda x: fn(x) * n\n    return deco\n@times(2)\ndef help(x):\n    return x\n",
                "def times(n):\n    def deco(fn):\n        return lambda x: fn(x) * n\n    return deco\n@times(3)\ndef help(x):\n    return x\n", "changed"),
    edit_beside("decorator that returns its function", USES.format("help"), "N = 1\ndef mark(n):\n    return lambda fn: fn\n@mark(N)\ndef help(x):\n    return x\n",
                "N = 2\ndef mark(n):\n    return lambda fn: fn\n@mark(N)\ndef help(x):\n    return x\n", "changed"),
    edit_beside("order of two wrappers", USES.format("help"), WRAPS.format(1, 1).replace("@loud", "def calm(fn):\n    return lambda x: -fn(x)\n@calm\n@loud"),
                WRAPS.format(1, 1).replace("@loud", "def calm(fn):\n    return lambda x: -fn(x)\n@loud\n@calm"), "changed"),
    edit_beside("size of a helper's cache", USES.format("help"), "import functools\n@functools.lru_cache(maxsize=1)\ndef help(x):\n    return x\n",
                "import functools\n@functools.lru_cache(maxsize=2)\ndef help(x):\n    return x\n", "changed"),
    edit_beside("cached helper", USES.format("help"), "import functools\n@functools.cache\ndef help(x):\n    return A\nA = 1\n",
                "import functools\n@functools.cache\ndef help(x):\n    return A\nA = 2\n", "changed"),
    edit_beside("helper's function-level import", "def root(x):\n    from .beside import help\n    return help(x)\n", "def help(x):\n    return x\n", "def help(x):\n    return -x\n", "changed"),
    edit_beside("module imported in a function", "def root(x):\n    import taxi.beside\n    return taxi.beside.help(x)\n", "A = 1\ndef help(x):\n    return x\n", "A = 1\ndef help(x):\n    return -x\n", "changed"),
    edit_beside("unread attribute of a module imported in a function", "def root(x):\n    from . import beside as b\n    return b.help(x)\n", "A = 1\ndef help(x):\n    return x\n", "A = 2\ndef help(x):\n    return x\n", "same"),
    edit_beside("attribute of an imported module", "import taxi.beside as b\ndef root(x):\n    return b.help(x)\n", "def help(x):\n    return x\n", "def help(x):\n    return -x\n", "changed"),
    edit_beside("attribute of a module by its full name", "import taxi.beside\ndef root(x):\n    return taxi.beside.A + x\n", "A = 1\n", "A = 2\n", "changed"),
    edit_beside("attribute by getattr with a literal", "import taxi.beside as b\ndef root(x):\n    return getattr(b, 'A') + x\n", "A = 1\nB = 1\n", "A = 2\nB = 1\n", "changed"),
    edit_beside("import under another name", "from taxi.beside import help as h\ndef root(x):\n    return h(x)\n", "def help(x):\n    return x\n", "def help(x):\n    return -x\n", "changed"),
    edit_beside("import by a star", "from taxi.beside import *\ndef root(x):\n    return help(x)\n", "def help(x):\n    return x\n", "def help(x):\n    return -x\n", "changed"),
    edit_beside("module used as a value", "import taxi.beside as b\ndef root(x):\n    return vars(b)[x]\n", "A = 1\n", "A = 2\n", "changed"),
    edit("another library function", "from math import sin as f\ndef root(x):\n    return f(x)\n", "from math import cos as f\ndef root(x):\n    return f(x)\n", "changed"),
    edit("shadowed builtin", "def root(x):\n    return len(x)\n", "def len(x):\n    return 0\ndef root(x):\n    return len(x)\n", "changed"),
    # functions held by values
    edit("closure", FACTORY.format(1) + "def root(x):\n    return help(x)\n", FACTORY.format(2) + "def root(x):\n    return help(x)\n", "changed"),
    edit("code of a closure", FACTORY.format(1) + "def root(x):\n    return help(x)\n", FACTORY.format(1).replace("x * n", "x / n") + "def root(x):\n    return help(x)\n", "changed"),
    edit("lambda", "f = lambda x: x\ndef root(x):\n    return f(x)\n", "f = lambda x: -x\ndef root(x):\n    return f(x)\n", "changed"),
    edit("second lambda on a line", "fs = [lambda x: x, lambda x: x + 1]\ndef root(x):\n    return fs[1](x)\n", "fs = [lambda x: x, lambda x: x + 2]\ndef root(x):\n    return fs[1](x)\n", "changed"),
    edit("first lambda on a line", "f, g = lambda x: x, lambda x: x + 1\ndef root(x):\n    return f(x)\n", "f, g = lambda x: -x, lambda x: x + 1\ndef root(x):\n    return f(x)\n", "changed"),
    edit("lambda added above", "fs = [lambda x: x]\ndef root(x):\n    return fs[0](x)\n", "g = lambda: 0\nfs = [lambda x: x]\ndef root(x):\n    return fs[0](x)\n", "same"),
    edit("function of a partial", "import functools\ndef h(n, x):\n    return x\np = functools.partial(h, 1)\ndef root(x):\n    return p(x)\n",
         "import functools\ndef h(n, x):\n    return -x\np = functools.partial(h, 1)\ndef root(x):\n    return p(x)\n", "changed"),
    edit("argument of a partial", "import functools\ndef h(n, x):\n    return x\np = functools.partial(h, 1)\ndef root(x):\n    return p(x)\n",
         "import functools\ndef h(n, x):\n    return x\np = functools.partial(h, 2)\ndef root(x):\n    return p(x)\n", "changed"),
    edit("keyword of a partial", "import functools\ndef h(x, n):\n    return x\np = functools.partial(h, n=1)\ndef root(x):\n    return p(x)\n",
         "import functools\ndef h(x, n):\n    return x\np = functools.partial(h, n=2)\ndef root(x):\n    return p(x)\n", "changed"),
    edit("function in a registry", "def a():\n    return 1\nM = {'a': a}\ndef root(x):\n    return M[x]()\n", "def a():\n    return 2\nM = {'a': a}\ndef root(x):\n    return M[x]()\n", "changed"),
    edit("key of a registry", "def a():\n    return 1\nM = {'a': a}\ndef root(x):\n    return M[x]()\n", "def a():\n    return 1\nM = {'b': a}\ndef root(x):\n    return M[x]()\n", "changed"),
    edit("two swapped functions in a registry", "def a():\n    return 1\ndef b():\n    return 2\nM = {'a': a, 'b': b}\ndef root(x):\n    return M[x]()\n",
         "def a():\n    return 1\ndef b():\n    return 2\nM = {'a': b, 'b': a}\ndef root(x):\n    return M[x]()\n", "changed"),
    edit("registry filled by a decorator", "M = {}\ndef put(f):\n    M[f.__name__] = f\n    return f\n@put\ndef a():\n    return 1\ndef root(x):\n    return M[x]()\n",
         "M = {}\ndef put(f):\n    M[f.__name__] = f\n    return f\n@put\ndef a():\n    return 2\ndef root(x):\n    return M[x]()\n", "changed"),
    edit("function in a set", "def a():\n    return 1\nM = {a}\ndef root(x):\n    return [f() for f in M]\n", "def a():\n    return 2\nM = {a}\ndef root(x):\n    return [f() for f in M]\n", "changed"),
    edit("class in a tuple", "class A:\n    n = 1\nM = (A,)\ndef root(x):\n    return M[0].n\n", "class A:\n    n = 2\nM = (A,)\ndef root(x):\n    return M[0].n\n", "changed"),
    edit("attribute set on a function", "def h(x):\n    return h.n\nh.n = 1\ndef root(x):\n    return h(x)\n", "def h(x):\n    return h.n\nh.n = 2\ndef root(x):\n    return h(x)\n", "changed"),
    edit("recursion", "def root(x):\n    return root(x - 1) if x else 1\n", "def root(x):\n    return root(x - 2) if x else 1\n", "changed"),
    edit("mutual recursion", "def a(x):\n    return b(x)\ndef b(x):\n    return a(x)\ndef root(x):\n    return a(x)\n", "def a(x):\n    return b(x)\ndef b(x):\n    return a(-x)\ndef root(x):\n    return a(x)\n", "changed"),
    # classes
    *[edit_beside(name, USES.format("A"), before, after, "changed") for name, before, after in [
        ("method", "class A:\n    def go(self):\n        return 1\n", "class A:\n    def go(self):\n        return 2\n"),
        ("class attribute", "class A:\n    n = 1\n", "class A:\n    n = 2\n"),
        ("class attribute by name", "N = 1\nclass A:\n    n = N\n", "N = 2\nclass A:\n    n = N\n"),
        ("class attribute made by a function", "def f():\n    return object()\nclass A:\n    n = f()\n", "def f():\n    return 0\nclass A:\n    n = f()\n"),
        ("global read in a method", "N = 1\nclass A:\n    def go(self):\n        return N\n", "N = 2\nclass A:\n    def go(self):\n        return N\n"),
        ("property", "class A:\n    @property\n    def n(self):\n        return 1\n", "class A:\n    @property\n    def n(self):\n        return 2\n"),
        ("global read in a property", "N = 1\nclass A:\n    @property\n    def n(self):\n        return N\n", "N = 2\nclass A:\n    @property\n    def n(self):\n        return N\n"),
        ("staticmethod", "N = 1\nclass A:\n    @staticmethod\n    def n():\n        return N\n", "N = 2\nclass A:\n    @staticmethod\n    def n():\n        return N\n"),
        ("classmethod", "N = 1\nclass A:\n    @classmethod\n    def n(cls):\n        return N\n", "N = 2\nclass A:\n    @classmethod\n    def n(cls):\n        return N\n"),
        ("cached property", "import functools\nN = 1\nclass A:\n    @functools.cached_property\n    def n(self):\n        return N\n", "import functools\nN = 2\nclass A:\n    @functools.cached_property\n    def n(self):\n        return N\n"),
        ("base class", "class B:\n    n = 1\nclass A(B): ...\n", "class B:\n    n = 2\nclass A(B): ...\n"),
        ("another base class", "class B: ...\nclass C: ...\nclass A(B): ...\n", "class B: ...\nclass C: ...\nclass A(C): ...\n"),
        ("metaclass", "class M(type):\n    def __call__(cls, x):\n        return 1\nclass A(metaclass=M): ...\n", "class M(type):\n    def __call__(cls, x):\n        return 2\nclass A(metaclass=M): ...\n"),
        ("__init_subclass__", "class B:\n    def __init_subclass__(cls, n):\n        cls.n = n\nclass A(B, n=1): ...\n", "class B:\n    def __init_subclass__(cls, n):\n        cls.n = n\nclass A(B, n=2): ...\n"),
        ("body of __init_subclass__", "class B:\n    def __init_subclass__(cls):\n        cls.n = 1\nclass A(B): ...\n", "class B:\n    def __init_subclass__(cls):\n        cls.n = 2\nclass A(B): ...\n"),
        ("method added by a mixin", "class Mixin: ...\nclass A(Mixin): ...\n", "class Mixin:\n    def __len__(self):\n        return 0\nclass A(Mixin): ...\n"),
        ("method put on a class later", "class A: ...\ndef go(self):\n    return 1\nA.go = go\n", "class A: ...\ndef go(self):\n    return 2\nA.go = go\n"),
        ("class decorator", "def add(cls):\n    cls.n = 1\n    return cls\n@add\nclass A: ...\n", "def add(cls):\n    cls.n = 2\n    return cls\n@add\nclass A: ...\n"),
        ("nested class", "class A:\n    class B:\n        n = 1\n", "class A:\n    class B:\n        n = 2\n"),
        ("dataclass field", "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int\n", "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int\n    y: int\n"),
        ("dataclass default", "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int = 1\n", "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int = 2\n"),
        ("dataclass default factory", "from dataclasses import dataclass, field\ndef make():\n    return [1]\n@dataclass\nclass A:\n    x: list = field(default_factory=make)\n",
         "from dataclasses import dataclass, field\ndef make():\n    return [2]\n@dataclass\nclass A:\n    x: list = field(default_factory=make)\n"),
        ("dataclass parameter", "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int\n", "from dataclasses import dataclass\n@dataclass(order=True)\nclass A:\n    x: int\n"),
        ("msgspec constraint", "import msgspec\nfrom typing import Annotated\nclass A(msgspec.Struct):\n    x: Annotated[float, msgspec.Meta(ge=0)]\n",
         "import msgspec\nfrom typing import Annotated\nclass A(msgspec.Struct):\n    x: Annotated[float, msgspec.Meta(ge=1)]\n"),
        ("msgspec constraint by name", "import msgspec\nfrom typing import Annotated\nN = 0\nYen = Annotated[float, msgspec.Meta(ge=N)]\nclass A(msgspec.Struct):\n    x: Yen\n",
         "import msgspec\nfrom typing import Annotated\nN = 1\nYen = Annotated[float, msgspec.Meta(ge=N)]\nclass A(msgspec.Struct):\n    x: Yen\n"),
        ("msgspec default", "import msgspec\nclass A(msgspec.Struct):\n    x: int = 1\n", "import msgspec\nclass A(msgspec.Struct):\n    x: int = 2\n"),
        ("struct in a quoted annotation", "import msgspec\nclass B(msgspec.Struct):\n    n: int = 1\nclass A(msgspec.Struct):\n    x: 'list[B]'\n", "import msgspec\nclass B(msgspec.Struct):\n    n: int = 2\nclass A(msgspec.Struct):\n    x: 'list[B]'\n"),
        ("enum member", "from enum import Enum\nclass A(Enum):\n    X = 1\n", "from enum import Enum\nclass A(Enum):\n    X = 2\n"),
        ("enum member by name", "from enum import Enum\nN = 1\nclass A(Enum):\n    X = N\n", "from enum import Enum\nN = 2\nclass A(Enum):\n    X = N\n"),
        ("named tuple", "from typing import NamedTuple\nclass A(NamedTuple):\n    x: int = 1\n", "from typing import NamedTuple\nclass A(NamedTuple):\n    x: int = 2\n"),
        ("named tuple made by a call", "from collections import namedtuple\nA = namedtuple('A', ['x', 'y'])\n", "from collections import namedtuple\nA = namedtuple('A', ['y', 'x'])\n"),
        ("self-referring class", "class A:\n    def go(self):\n        return A()\nA.me = A\n", "class A:\n    def go(self):\n        return -A()\nA.me = A\n"),
    ]],
    edit_beside("comment in a class", USES.format("A"), "class A:\n    n = 1\n", "class A:\n    # say\n    n = 1\n", "same"),
    # constants
    *[edit(name, f"{head}A = {before}\ndef root(x):\n    return A\n", f"{head}A = {after}\ndef root(x):\n    return A\n", verdict) for name, head, before, after, verdict in [
        ("number", "", "1", "2", "changed"),
        ("number by another expression", "", "2", "1 + 1", "same"),
        ("true instead of one", "", "1", "True", "changed"),
        ("negative zero", "", "0.0", "-0.0", "changed"),
        ("text", "", "'a'", "'b'", "changed"),
        ("bytes instead of text", "", "'a'", "b'a'", "changed"),
        ("list content", "", "[1, [2]]", "[1, [3]]", "changed"),
        ("tuple instead of list", "", "[1]", "(1,)", "changed"),
        ("order of a dict", "", "{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}", "may change"),
        ("order of a set", "", "{'a', 'b', 'c'}", "{'c', 'b', 'a'}", "same"),
        ("content of a set", "", "{'a', 'b'}", "{'a', 'c'}", "changed"),
        ("path", "from pathlib import Path\n", "Path('a')", "Path('b')", "changed"),
        ("date", "import datetime\n", "datetime.date(2022, 1, 1)", "datetime.date(2022, 1, 2)", "changed"),
        ("pattern", "import re\n", "re.compile('a')", "re.compile('b')", "changed"),
        ("flags of a pattern", "import re\n", "re.compile('a')", "re.compile('a', re.I)", "changed"),
        ("numpy array", "import numpy as np\n", "np.array([1, 2])", "np.array([1, 3])", "changed"),
        ("numpy array by another expression", "import numpy as np\n", "np.array([0, 1])", "np.arange(2)", "same"),
        ("numpy dtype", "import numpy as np\n", "np.zeros(2, 'f4')", "np.zeros(2, 'f8')", "changed"),
        ("numpy objects", "import numpy as np\n", "np.array([None, 'a'])", "np.array([None, 'b'])", "changed"),
        ("pandas frame", "import pandas as pd\n", "pd.DataFrame({'a': [1, 2]})", "pd.DataFrame({'a': [1, 3]})", "changed"),
        ("pandas column", "import pandas as pd\n", "pd.DataFrame({'a': ['x']})", "pd.DataFrame({'b': ['x']})", "changed"),
        ("pandas frame by another expression", "import pandas as pd\n", "pd.DataFrame({'a': [0, 1]})", "pd.DataFrame({'a': range(2)})", "same"),
        ("unreadable value", "import threading\n", "threading.Semaphore(1)", "threading.Semaphore(2)", "changed"),
        ("unreadable value in a dict", "import threading\n", "{'a': threading.Semaphore(1)}", "{'a': threading.Semaphore(2)}", "changed"),
    ]],
    edit("what an unreadable value is made from", "import threading\nN = 1\ndef make():\n    return threading.Semaphore(N)\nA = make()\ndef root(x):\n    return A\n",
         "import threading\nN = 2\ndef make():\n    return threading.Semaphore(N)\nA = make()\ndef root(x):\n    return A\n", "changed"),
    edit("call upon an unreadable value", "import threading\nA = threading.Semaphore(1)\ndef root(x):\n    return A\n", "import threading\nA = threading.Semaphore(1)\nA.release()\ndef root(x):\n    return A\n", "changed"),
    edit_beside("unreadable value of another module", "from taxi.beside import A\ndef root(x):\n    return A\n", "import threading\nA = threading.Semaphore(1)\n", "import threading\nA = threading.Semaphore(2)\n", "changed"),
    edit("instance of a project class", "class C:\n    def __init__(self, n):\n        self.n = n\nA = C(1)\ndef root(x):\n    return A.n\n", "class C:\n    def __init__(self, n):\n        self.n = n\nA = C(2)\ndef root(x):\n    return A.n\n", "changed"),
    edit("class of an instance", "class C:\n    def go(self):\n        return 1\nA = C()\ndef root(x):\n    return A.go()\n", "class C:\n    def go(self):\n        return 2\nA = C()\ndef root(x):\n    return A.go()\n", "changed"),
    edit("slots of an instance", "class C:\n    __slots__ = ('n',)\n    def __init__(self, n):\n        self.n = n\nA = C(1)\ndef root(x):\n    return A.n\n", "class C:\n    __slots__ = ('n',)\n    def __init__(self, n):\n        self.n = n\nA = C(2)\ndef root(x):\n    return A.n\n", "changed"),
    edit("bound method", "class C:\n    def __init__(self, n):\n        self.n = n\n    def go(self, x):\n        return self.n\nA = C(1).go\ndef root(x):\n    return A(x)\n", "class C:\n    def __init__(self, n):\n        self.n = n\n    def go(self, x):\n        return self.n\nA = C(2).go\ndef root(x):\n    return A(x)\n", "changed"),
    edit("rebound global", "N = 1\ndef root(x):\n    global N\n    N = N + 1\n    return N\n", "N = 2\ndef root(x):\n    global N\n    N = N + 1\n    return N\n", "changed"),
    edit("list that holds itself", "A = [1]\nA.append(A)\ndef root(x):\n    return A\n", "A = [2]\nA.append(A)\ndef root(x):\n    return A\n", "changed"),
    edit_beside("constant that was imported", "from taxi.beside import N\ndef root(x):\n    return N\n", "N = 1\n", "N = 2\n", "changed"),
    edit_beside("constant that was imported, said another way", "from taxi.beside import N\ndef root(x):\n    return N\n", "N = 4\n", "N = 2 * 2\n", "same"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def no_bytecode(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two versions of a file may have one size and one time: nothing of the first may be kept."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    forget()


def forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "taxi"]:
        del sys.modules[name]
    importlib.invalidate_caches()


def write(folder: Path, files: Files) -> Path:
    (folder / "taxi").mkdir(parents=True)
    (folder / "taxi/__init__.py").touch()
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return folder


def main_of(folder: Path) -> Any:
    forget()
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module("taxi.main")
    finally:
        sys.path.remove(str(folder))


def taken(folder: Path, files: Files, patterns: tuple[str, ...] = ()) -> Fingerprint:
    """The fingerprint of the function `root` (or `other`) in a folder made of the files."""
    main = main_of(write(folder, files))
    sys.path.insert(0, str(folder))
    return fingerprint(getattr(main, "root", None) or main.other, root=folder, files=patterns)


@pytest.mark.parametrize("case", EDITS, ids=lambda case: case.name)
def test_an_edit_counts_as_the_table_says(case: Edit, tmp_path: Path) -> None:
    before = taken(tmp_path / "a", case.before)
    after = taken(tmp_path / "b", case.after)

    if case.verdict == "same":
        assert before.digest == after.digest
    elif case.verdict == "changed":
        assert before.digest != after.digest


def test_the_table_has_no_name_twice() -> None:
    names = [case.name for case in EDITS]

    assert len(names) == len(set(names)) >= 55


@pytest.mark.parametrize("case", EDITS, ids=lambda case: case.name)
def test_taken_again_in_another_folder_it_is_the_same(case: Edit, tmp_path: Path) -> None:
    assert taken(tmp_path / "a", case.after) == taken(tmp_path / ".funade" / "code" / "b", case.after)
