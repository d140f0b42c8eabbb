"""Frozen dataclasses to TOML and back, strictly: an unknown key or a wrong type is an error that names its path.

Knows no setting of its own. TOML, because YAML readers take ``1e-4`` for text.
"""

from __future__ import annotations

import difflib
import json
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

import tomli_w

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")


def read_toml(cls: type[T], path: str | Path) -> T:
    """The dataclass ``cls`` that ``path`` describes. ValueError names the file and the dotted key."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            mapping = tomllib.load(file)
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not TOML: {error}") from error
    try:
        return from_dict(cls, mapping)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_json(cls: type[T], path: Path) -> T:
    """The same from JSON; a file that is not there is FileNotFoundError."""
    try:
        return from_dict(cls, json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:  # JSON and encoding errors among them
        raise ValueError(f"{path}: {error}") from error


def write_toml(value: Any, path: str | Path) -> None:
    """Write a dataclass so that ``read_toml`` gives an equal one back."""
    Path(path).write_bytes(tomli_w.dumps(to_dict(value)).encode())


def to_dict(value: Any) -> dict[str, Any]:
    """Plain tables, numbers and text. A field that is None is left out: TOML has no null."""
    table: dict[str, Any] = {}
    for field in fields(value):
        item = getattr(value, field.name)
        if item is not None:
            table[field.name] = _plain(item)
        elif _default(field) is not None:
            raise ValueError(
                f"{type(value).__name__}.{field.name} is None, which TOML can only say by leaving the key out, "
                f"and then its default {_default(field)!r} would hold"
            )
    return table


def from_dict(cls: type[T], mapping: Mapping[str, Any], *, prefix: str = "") -> T:
    """Build ``cls`` from plain tables. ``prefix`` is the dotted path of ``mapping`` in messages."""
    known: dict[str, Field[Any]] = {f.name: f for f in fields(cls) if f.init}  # pyright: ignore[reportArgumentType]
    for key in mapping:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {prefix}{near[0]}? " if near else ""
            raise ValueError(f"unknown key {prefix}{key}: {hint}allowed are {', '.join(sorted(known)) or 'none'}")
    hints = typing.get_type_hints(cls)
    arguments: dict[str, Any] = {}
    for name, field in known.items():
        if name in mapping:
            arguments[name] = _typed(hints[name], mapping[name], prefix + name)
        elif field.default is MISSING and field.default_factory is MISSING and not _allows_none(hints[name]):
            raise ValueError(f"key {prefix}{name} is missing: it has no default; wanted is {_spelt(hints[name])}")
        elif field.default is MISSING and field.default_factory is MISSING:
            arguments[name] = None
    return cls(**arguments)


def _default(field: Field[Any]) -> Any:
    if field.default is not MISSING:
        return field.default
    # a required field that may be None reads back as None when its key is absent
    return None if field.default_factory is MISSING else field.default_factory()


def _plain(item: Any) -> Any:
    if is_dataclass(item):
        return to_dict(item)
    if isinstance(item, Enum):
        return _plain(item.value)
    if isinstance(item, Path):
        return item.as_posix()
    if isinstance(item, tuple):
        return [_plain(one) for one in item]
    return item


def _typed(hint: Any, item: Any, path: str) -> Any:
    """``item`` as ``hint`` wants it, or ValueError."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return _first_that_fits(hint, item, path)
    if origin is Literal:
        # 1 == True in Python, but not in a configuration
        if any(item == choice and type(item) is type(choice) for choice in inner):
            return item
        near = difflib.get_close_matches(str(item), [str(choice) for choice in inner], n=1)
        raise _wrong(hint, item, path, f"; did you mean {near[0]!r}?" if near else "")
    if origin is tuple and isinstance(item, list):
        wanted = [inner[0]] * len(item) if inner[1:] == (Ellipsis,) else list(inner)
        if len(wanted) != len(item):
            raise _wrong(hint, item, path)
        return tuple(
            _typed(one, value, f"{path}[{i}]") for i, (one, value) in enumerate(zip(wanted, item, strict=True))
        )
    if isinstance(hint, type):
        return _plain_typed(hint, item, path)
    raise _wrong(hint, item, path)


def _plain_typed(hint: type[Any], item: Any, path: str) -> Any:
    if is_dataclass(hint) and isinstance(item, dict):
        return from_dict(hint, item, prefix=path + ".")
    if issubclass(hint, Enum):
        members = {member.value: member for member in hint}
        if isinstance(item, str | int | float) and item in members:
            return members[item]
    elif hint is Path and isinstance(item, str):
        return Path(item)
    elif hint is float and isinstance(item, int) and not isinstance(item, bool):
        return float(item)
    elif hint in (bool, int, float, str) and type(item) is hint:
        return item
    raise _wrong(hint, item, path)


def _first_that_fits(hint: Any, item: Any, path: str) -> Any:
    choices = [one for one in typing.get_args(hint) if one is not type(None)]
    if len(choices) == 1:
        return _typed(choices[0], item, path)  # the message of the one real type says more
    for choice in choices:
        try:
            return _typed(choice, item, path)
        except ValueError:
            continue
    raise _wrong(hint, item, path)


def _allows_none(hint: Any) -> bool:
    return type(None) in typing.get_args(hint)


def _wrong(hint: Any, item: Any, path: str, more: str = "") -> ValueError:
    return ValueError(f"{path} is {item!r}, {type(item).__name__}; wanted is {_spelt(hint)}{more}")


def _spelt(hint: Any) -> str:
    """A type as a writer of TOML would say it."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(repr(choice) for choice in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(_spelt(one) for one in inner if one is not type(None))
    if origin is tuple:
        if inner[1:] == (Ellipsis,):
            return f"a list, each {_spelt(inner[0])}"
        return f"a list of {len(inner)}: " + ", ".join(_spelt(one) for one in inner)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "one of " + ", ".join(repr(member.value) for member in hint)
    if is_dataclass(hint):
        return "a table"
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path as text"}
    return names.get(hint, str(hint))
