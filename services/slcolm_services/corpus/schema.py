"""The task schema: what a task annotates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from slcolm_services.errors import FieldViolation

MAX_TYPES = 10_000
"""Most entity types, and most relation types, of a task."""


@dataclass(frozen=True, slots=True)
class EntityType:
    """An entity type.

    Attributes:
        name: Name in data files.
        label: How people and prompts call it; the name itself where none is given.
        definition: What it covers, in a sentence; may be empty.
    """

    name: str
    label: str
    definition: str = ""


@dataclass(frozen=True, slots=True)
class RelationType:
    """A relation type.

    Attributes:
        name: Name in data files and prompts.
        definition: What it means, in a sentence; may be empty.
        head_types: Entity types that the head may have; empty means any.
        tail_types: Entity types that the tail may have; empty means any.
        symmetric: Whether it matches in both directions when scored.
        count: Instances in the training set, where the file says so; information only.
    """

    name: str
    definition: str = ""
    head_types: tuple[str, ...] = ()
    tail_types: tuple[str, ...] = ()
    symmetric: bool = False
    count: int | None = None

    def admits(self, head_type: str, tail_type: str) -> bool:
        """Whether the type may hold between entities of these types."""
        return (not self.head_types or head_type in self.head_types) and (
            not self.tail_types or tail_type in self.tail_types
        )


@dataclass(frozen=True)
class TaskSchema:
    """Entity and relation types of a task with their definitions.

    Attributes:
        name: Name of the task.
        language: BCP 47 tag; chooses prompt templates.
        entity_types: In the order of the file.
        relation_types: In the order of the file.
        fallback_relation: Type for a clear relation that no other fits; None where there is none.
        script: `simplified`, `traditional` or empty.
    """

    name: str
    language: str
    entity_types: tuple[EntityType, ...]
    relation_types: tuple[RelationType, ...]
    fallback_relation: str | None = None
    script: str = ""

    @cached_property
    def entities_by_name(self) -> dict[str, EntityType]:
        """Entity types by name."""
        return {entity.name: entity for entity in self.entity_types}

    @cached_property
    def entities_by_label(self) -> dict[str, EntityType]:
        """Entity types by label."""
        return {entity.label: entity for entity in self.entity_types}

    @cached_property
    def relations_by_name(self) -> dict[str, RelationType]:
        """Relation types by name."""
        return {relation.name: relation for relation in self.relation_types}

    def problems(self) -> list[FieldViolation]:
        """What is wrong with the schema as a whole, each with its field; empty when it is right."""
        found = []
        if not self.entity_types and not self.relation_types:
            found.append(FieldViolation("entity_types", "at least one type is needed"))
        for field, names in (
            ("entity_types", [kind.name for kind in self.entity_types]),
            ("relation_types", [kind.name for kind in self.relation_types]),
        ):
            if len(names) > MAX_TYPES:
                found.append(FieldViolation(field, f"at most {MAX_TYPES}, got {len(names)}"))
            seen: set[str] = set()
            for index, name in enumerate(names):
                if not name.strip():
                    found.append(FieldViolation(f"{field}[{index}].name", "must not be empty"))
                elif name in seen:
                    found.append(FieldViolation(f"{field}[{index}].name", f"{name!r} stands twice"))
                seen.add(name)
        for index, relation in enumerate(self.relation_types):
            for role, types in (("head", relation.head_types), ("tail", relation.tail_types)):
                found.extend(
                    FieldViolation(
                        f"relation_types[{index}].{role}", f"{name!r} is not an entity type"
                    )
                    for name in types
                    if name not in self.entities_by_name
                )
        if self.fallback_relation and self.fallback_relation not in self.relations_by_name:
            found.append(
                FieldViolation(
                    "fallback_relation", f"{self.fallback_relation!r} is not a relation type"
                )
            )
        return found
