"""Message types declared as tables of text, built in a descriptor pool of their own.

A field is `name:type=number`. `*type` is repeated, `{type}` a map from string to it, and a trailing
`|name` puts the field into that oneof. Fields of a message are separated by spaces, and so are the
`NAME=number` of an enum.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, wrappers_pb2


@dataclasses.dataclass(frozen=True)
class Package:
    """The messages and enums of one proto package.

    Attributes:
      name: e.g. `tensorflow.serving`.
      messages: fields by name; a nested message is `Outer.Inner`.
      enums: values by name.
      imports: names of packages before it that its fields refer to.
    """

    name: str
    messages: Mapping[str, str]
    enums: Mapping[str, str] = dataclasses.field(default_factory=dict)
    imports: tuple[str, ...] = ()


_Field: TypeAlias = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "int64": _Field.TYPE_INT64,
    "int32": _Field.TYPE_INT32,
    "bool": _Field.TYPE_BOOL,
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
    "float": _Field.TYPE_FLOAT,
    "double": _Field.TYPE_DOUBLE,
}


class _Builder:
    """Turns packages into file descriptors."""

    def __init__(self, packages: Sequence[Package]) -> None:
        self._enums = {f"{p.name}.{name}" for p in packages for name in p.enums}

    def _set_type(self, field: _Field, kind: str, package: str) -> None:
        if kind in _SCALARS:
            field.type = _SCALARS[kind]
            return
        full = kind if kind.startswith(("tensorflow.", "google.")) else f"{package}.{kind}"
        field.type = _Field.TYPE_ENUM if full in self._enums else _Field.TYPE_MESSAGE
        field.type_name = f".{full}"

    def _add_field(
        self, message: descriptor_pb2.DescriptorProto, text: str, package: str, scope: str
    ) -> None:
        name, _, rest = text.partition(":")
        kind, _, rest = rest.partition("=")
        number, _, oneof = rest.partition("|")
        field = message.field.add(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
        if kind.startswith("{"):
            entry = message.nested_type.add(name=name.title().replace("_", "") + "Entry")
            entry.options.map_entry = True
            self._add_field(entry, "key:string=1", package, scope)
            self._add_field(entry, f"value:{kind[1:-1]}=2", package, scope)
            kind = f"*{package}.{scope}.{entry.name}"
        if kind.startswith("*"):
            field.label = _Field.LABEL_REPEATED
        self._set_type(field, kind.lstrip("*"), package)
        if oneof:
            if oneof not in [declared.name for declared in message.oneof_decl]:
                message.oneof_decl.add(name=oneof)
            field.oneof_index = [declared.name for declared in message.oneof_decl].index(oneof)

    def file(self, package: Package) -> descriptor_pb2.FileDescriptorProto:
        """The messages and enumerations of a package."""
        file = descriptor_pb2.FileDescriptorProto(
            name=f"export/{package.name}.proto", package=package.name, syntax="proto3"
        )
        file.dependency.extend(f"export/{name}.proto" for name in package.imports)
        file.dependency.extend((any_pb2.DESCRIPTOR.name, wrappers_pb2.DESCRIPTOR.name))
        scopes: dict[str, descriptor_pb2.DescriptorProto] = {}
        for name in sorted(package.messages):  # an outer message sorts before those nested in it
            outer, _, inner = name.rpartition(".")
            scopes[name] = (
                scopes[outer].nested_type.add(name=inner)
                if outer
                else file.message_type.add(name=name)
            )
            for text in package.messages[name].split():
                self._add_field(scopes[name], text, package.name, name)
        for name, values in package.enums.items():
            outer, _, inner = name.rpartition(".")
            enum = (scopes[outer] if outer else file).enum_type.add(name=inner)
            for text in values.split():
                label, _, number = text.partition("=")
                enum.value.add(name=label, number=int(number))
        return file


def build_pool(packages: Sequence[Package]) -> descriptor_pool.DescriptorPool:
    """A pool of the packages, each after those that it imports."""
    pool = descriptor_pool.DescriptorPool()
    for known in (any_pb2, wrappers_pb2):
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
    builder = _Builder(packages)
    for package in packages:
        pool.AddSerializedFile(builder.file(package).SerializeToString())
    return pool
