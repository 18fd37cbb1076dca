"""Messages of any type, made from their descriptors: well-formed on the wire, and nothing else."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

_WORDS = ("", "a", "b", "t", "r", "P", "slm", "span", "strict", "offline", "../..", "x" * 2_000)
_TEXTS = st.one_of(
    st.sampled_from(_WORDS),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
_NUMBERS = st.one_of(st.integers(-2, 5), st.sampled_from((2**31 - 1, -(2**31), 2**16)))
_LONG = st.one_of(_NUMBERS, st.sampled_from((2**63 - 1, -(2**63))))
_FLOATS = st.one_of(
    st.sampled_from((0.0, 0.5, 1.0, -1.0, 1e308, float("inf"), float("nan"))), st.floats(width=32)
)
_MAX_DEPTH = 5


def messages(descriptor: Descriptor) -> st.SearchStrategy[Message]:
    """Messages of this type; with few values, so that ids and names meet."""
    return _fields(descriptor, 0).map(lambda values: _built(descriptor, values))


def _fields(descriptor: Descriptor, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    chosen = {
        field.name: _value(field, depth)
        for field in descriptor.fields
        if field.message_type is None or depth < _MAX_DEPTH
    }
    return st.fixed_dictionaries({}, optional=chosen)


def _value(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        entry = message.fields_by_name
        return st.dictionaries(
            _single(entry["key"], depth), _single(entry["value"], depth), max_size=2
        )
    single = _single(field, depth)
    return st.lists(single, max_size=3) if field.is_repeated else single


def _single(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return _fields(field.message_type, depth + 1)
    if field.enum_type is not None:
        known = [value.number for value in field.enum_type.values]
        return st.sampled_from([*known, 99])
    return {
        FieldDescriptor.CPPTYPE_STRING: st.binary(max_size=8)
        if field.type == FieldDescriptor.TYPE_BYTES
        else _TEXTS,
        FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
        FieldDescriptor.CPPTYPE_INT32: _NUMBERS,
        FieldDescriptor.CPPTYPE_INT64: _LONG,
        FieldDescriptor.CPPTYPE_UINT32: st.integers(0, 5),
        FieldDescriptor.CPPTYPE_UINT64: st.integers(0, 5),
        FieldDescriptor.CPPTYPE_FLOAT: _FLOATS,
        FieldDescriptor.CPPTYPE_DOUBLE: _FLOATS,
    }[field.cpp_type]


def _built(descriptor: Descriptor, values: dict[str, Any]) -> Message:
    made: Message = GetMessageClass(descriptor)(**values)
    return made
