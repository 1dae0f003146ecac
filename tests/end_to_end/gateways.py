"""The real LiteLLM proxy and the real MLflow AI Gateway on loopback, before other servers."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.end_to_end.lab import ROOT, Lab, free_port, post
from tests.servers import openai

LITELLM = ROOT / ".venv-litellm" / "bin" / "litellm"
MASTER_KEY = "sk-master-of-the-loopback-proxy-0123456789"
PRIVATE = {  # else MLflow's gateway asks public addresses only
    "MLFLOW_GATEWAY_API_BASE_ALLOWED_SCHEMES": "http",
    "MLFLOW_GATEWAY_API_BASE_ALLOW_PRIVATE_IPS": "true",
}


@contextmanager
def litellm(lab: Lab, models: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """The proxy with these models, by name, in LiteLLM's own words; gives its base_url."""
    listed = [{"model_name": name, "litellm_params": dict(m)} for name, m in models.items()]
    once = {"num_retries": 0, "disable_cooldowns": True}  # every fault is seen, and seen once
    config = lab.folder / "litellm.yaml"
    config.write_text(json.dumps({"model_list": listed, "router_settings": once}))
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [str(LITELLM), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    alone = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": MASTER_KEY}
    with lab.running(command, f"{address}/health/liveliness", lab.folder, **alone):
        yield f"{address}/v1"


@contextmanager
def mlflow_gateway(lab: Lab, name: str, model: str, upstream: str) -> Iterator[str]:
    """A tracking server whose gateway has one endpoint of that name; gives its base_url."""
    open_lab = Lab(lab.folder, lab.variables | PRIVATE)
    with open_lab.ui() as address:
        base = {"api_base": upstream}
        secret = {"secret_name": name, "provider": "openai", "auth_config": base}
        key = _make(address, "secret", secret | {"secret_value": {"api_key": openai.KEY}})
        definition = {"name": name, "provider": "openai", "model_name": model, "secret_id": key}
        made = _make(address, "model_definition", definition)
        link = {"model_definition_id": made, "linkage_type": "PRIMARY", "weight": 1.0}
        given = {"name": name, "model_configs": [link], "usage_tracking": False}
        _make(address, "endpoint", given)
        yield f"{address}/gateway/mlflow/v1"


def _make(address: str, kind: str, body: dict[str, Any]) -> str:
    """The id of what was made."""
    path = f"{address}/api/3.0/mlflow/gateway/{kind.replace('_', '-')}s/create"
    status, made = post(path, body)
    assert status == 200, made
    return str(made[kind][f"{kind}_id"])
