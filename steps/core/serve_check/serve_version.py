"""The model version that ought to be served, and the evaluation it rests on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from llm_models.errors import InputError
from steps.core.providers import provider_class
from steps.core.registry import Evidence

PREFIX = "models:/"
NAMED = {"supplier": "supplier", "model_name": "model_name"}  # output column -> param of the run


@dataclass(frozen=True)
class ServedVersion:
    """A version `register` has made."""

    label: str  # name/version
    evidence: Evidence

    @property
    def is_exact(self) -> bool:
        """Whether its texts are fixed: temperature 0, a seed, or a provider without chance."""
        params = self.evidence.run.data.params
        cold = params.get("temperature") in ("0", "0.0")
        return cold or "seed" in params or not provider_class(params["supplier"]).samples

    def unlike(
        self,
        fingerprint: str | None,
        same_identity: bool | None,
        outputs: Sequence[Mapping[str, Any]],
    ) -> list[str]:
        """What tells that another model answers; a server that tells nothing gives no reason."""
        wanted, params = self.evidence.tags["fingerprint"], self.evidence.run.data.params
        found = []
        if fingerprint not in (None, wanted):
            found.append(f"another model is served: fingerprint {fingerprint}, evaluated {wanted}")
        if same_identity is False:
            found.append("the provider has another model under that name than was evaluated")
        for column, param in NAMED.items():
            told = {str(output[column]) for output in outputs if output.get(column)}
            if told - {params[param]}:
                others = ", ".join(sorted(told))
                found.append(f"{column} is {others}, and {params[param]} was evaluated")
        return found


def find(client: MlflowClient, address: str) -> ServedVersion:
    """The version at `models:/name@alias` or `models:/name/3`. Raises InputError."""
    name, _, alias = address.removeprefix(PREFIX).partition("@")
    name, _, number = name.partition("/")
    if not address.startswith(PREFIX) or not (alias or number):
        raise InputError(f"model: '{address}' is no version; give models:/NAME@ALIAS or /VERSION")
    try:
        by_alias = client.get_model_version_by_alias
        version = by_alias(name, alias) if alias else client.get_model_version(name, number)
    except MlflowException as error:
        raise InputError(f"model: there is no {address} ({error.error_code})") from None
    run_id = version.tags.get("run_id")
    if run_id is None:
        raise InputError(f"model: {address} was not made by `register`; give a version that was")
    return ServedVersion(f"{name}/{version.version}", Evidence(client.get_run(run_id)))
