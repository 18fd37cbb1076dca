"""The contracts as Envoy reads them: a descriptor set of the code that is installed."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.rpc import error_details_pb2

from slcolm.coordinator.v1 import coordinator_pb2
from slcolm.evaluation.v1 import evaluation_pb2
from slcolm.extraction.v1 import extraction_pb2
from slcolm.guidance.v1 import guidance_pb2
from slcolm.retrieval.v1 import retrieval_pb2
from slcolm.training.v1 import training_pb2

_FILES: Mapping[str, FileDescriptor] = {
    "coordinator": coordinator_pb2.DESCRIPTOR,
    "extraction": extraction_pb2.DESCRIPTOR,
    "retrieval": retrieval_pb2.DESCRIPTOR,
    "guidance": guidance_pb2.DESCRIPTOR,
    "evaluation": evaluation_pb2.DESCRIPTOR,
    "training": training_pb2.DESCRIPTOR,
}
_SERVICES = {role: next(iter(file.services_by_name.values())) for role, file in _FILES.items()}

SERVICES: Mapping[str, str] = {role: service.full_name for role, service in _SERVICES.items()}
"""Role to full name of its service."""


def methods(role: str) -> list[str]:
    """Names of the methods of a service, in the order of its contract."""
    return list(_SERVICES[role].methods_by_name)


def descriptor_set() -> bytes:
    """A `FileDescriptorSet` of all contracts with what they import, each file after its imports.

    The details of errors are among them, so that they can be shown as JSON.
    """
    found = FileDescriptorSet()
    seen: set[str] = set()
    for file in (*_FILES.values(), error_details_pb2.DESCRIPTOR):
        _add(file, found, seen)
    return found.SerializeToString(deterministic=True)


def _add(file: FileDescriptor, found: FileDescriptorSet, seen: set[str]) -> None:
    if file.name in seen:
        return
    seen.add(file.name)
    for imported in file.dependencies:
        _add(imported, found, seen)
    file.CopyToProto(found.file.add())
