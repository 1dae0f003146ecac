"""Which model is served: the address that was asked for, and what exactly it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

VERSION_HEADER, FINGERPRINT_HEADER = b"x-model-version", b"x-model-fingerprint"


@dataclass(frozen=True)
class Served:
    """One logged model; a registered one has a version."""

    address: str  # of one model for good: an alias may move while it is served
    names: tuple[str, ...]  # by which a request may ask for it, the usual one first
    model_id: str
    version: str | None
    fingerprint: str
    created_s: int  # when it was logged, seconds since 1970

    @property
    def label(self) -> str:
        """As people know it: name/version, else its name and its id."""
        return f"{self.names[0]}/{self.version or self.model_id}"

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        return (
            (VERSION_HEADER, self.label.encode()),
            (FINGERPRINT_HEADER, self.fingerprint.encode()),
        )

    def entries(self) -> list[dict[str, Any]]:
        """As /v1/models lists it, under each of its names."""
        return [self.entry(name) for name in self.names]

    def entry(self, name: str) -> dict[str, Any]:
        own = {"version": self.version, "model_id": self.model_id, "fingerprint": self.fingerprint}
        listed = {"id": name, "object": "model", "created": self.created_s}
        return listed | {"owned_by": "llmflowlab"} | own


def pinned(address: str) -> tuple[str, str | None]:
    """`address` with the version that its alias has now, and that version.

    Raises MlflowException where there is no such alias.
    """
    import mlflow

    name, _, alias = address.removeprefix("models:/").partition("@")
    if not address.startswith("models:/"):
        return address, None
    if alias:
        version = str(mlflow.MlflowClient().get_model_version_by_alias(name, alias).version)
        return f"models:/{name}/{version}", version
    return address, name.partition("/")[2] or None


def served(address: str, version: str | None, model_id: str) -> Served:
    """What is known of a model that was loaded from `address`."""
    import mlflow

    logged = mlflow.MlflowClient().get_logged_model(model_id)
    return Served(
        address=f"models:/{model_id}",
        names=_names(address, version, logged.tags),
        model_id=model_id,
        version=version,
        fingerprint=logged.tags.get("fingerprint", "unknown"),
        created_s=logged.creation_timestamp // 1000,
    )


def _names(address: str, version: str | None, tags: Mapping[str, str]) -> tuple[str, ...]:
    """Of a registered model its name, name@alias and name/version; else the candidate's."""
    if version is None:
        return (tags.get("candidate", address),)
    told = address.removeprefix("models:/")
    name = told.partition("@")[0].partition("/")[0]
    return tuple(dict.fromkeys([name, told, f"{name}/{version}"]))
