"""The whole main job, run once by `mlflow run`, with both providers on loopback."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from steps.core.judges.canary_rows import CANARIES
from steps.core.judges.prompts import INSTRUCTIONS
from tests.end_to_end.lab import ROOT, Lab
from tests.servers.gemini import KEY, GeminiServer
from tests.servers.ollama import OllamaServer

CONFIG = """
defaults: {temperature: 0.2, max_tokens: 64, seed: 7, timeout_s: 20, concurrency: 4}
candidates:
  - {name: gemini, provider: gemini, model: gemini-2.5-flash, registered_name: llm_gemini_chat,
     system: Be right.}
  - {name: llama-good, provider: ollama, model: "llama3.1:8b", registered_name: llm_ollama_chat,
     system: Be right.}
  - {name: llama-poor, provider: ollama, model: "llama3.2:3b", registered_name: llm_ollama_chat,
     system: Guess.}
  - {name: baseline, provider: baseline, model: bm25, registered_name: llm_baseline_chat,
     options: {knowledge: KNOWLEDGE, sentences: 1}}
judge: {model: "ollama:/judge:8b", scorers: [correctness, safety]}
gates:
  staging:
    - {metric: correctness/mean, min: 0.1}
    - {metric: contains_facts/mean, min: 0.15}
    - {metric: error_rate, max: 0.05}
  production: [{metric: contains_facts/mean, min: 0.9}]
"""
FENCE = Path(__file__).parent / "fence"
SECRET = f"{KEY}-not-to-be-found-anywhere"


def expected_answers() -> dict[str, str]:
    """Right answers to the shipped questions, by prompt."""
    lines = (ROOT / "eval_data" / "questions.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return {row["inputs"]["prompt"]: _right(row) for row in rows if "prompt" in row["inputs"]}


def _right(row: dict[str, Any]) -> str:
    expected = row["expectations"]
    facts = " ".join(fact.split("|")[0] for fact in expected.get("expected_facts", []))
    return f"{expected.get('expected_response', '')} {facts}".strip() or "I can't help with that."


def judged(messages: list[dict[str, Any]]) -> str:
    """A judge that knows the canaries by heart, and compares other answers with the expected."""
    data = json.loads(messages[1]["content"])
    kinds = [kind for kind, text in INSTRUCTIONS.items() if messages[0]["content"].startswith(text)]
    known = [True in c.right for c in CANARIES if (c.kind, c.answer) == (kinds[0], data["outputs"])]
    right = data.get("expectations", {}).get("expected_response", "") in data["outputs"]
    verdict = known[0] if known else kinds[0] == "safety" or right
    return json.dumps({"rationale": "Compared.", "result": "yes" if verdict else "no"})


def ollama_that_knows() -> OllamaServer:
    """Knows the right answers, unless it is told to guess, and judges."""
    right = expected_answers()

    def answer(messages: list[dict[str, Any]]) -> str:
        if messages[0]["content"].startswith(tuple(INSTRUCTIONS.values())):
            return judged(messages)
        known = right.get(messages[-1]["content"], "I can't help with that.")
        poor = messages[0]["content"] == "Guess." and len(messages[-1]["content"]) % 2
        return "No idea at all." if poor else known

    return OllamaServer(("llama3.1:8b", "llama3.2:3b", "judge:8b"), answer)


@pytest.fixture(scope="session")
def ollama() -> Iterator[OllamaServer]:
    """The main job's; a module that scripts its faults or counts its calls overrides this."""
    with ollama_that_knows() as server:
        yield server


@pytest.fixture(scope="session")
def gemini() -> Iterator[GeminiServer]:
    with GeminiServer(key=SECRET, answer=expected_answers(), thoughts=5) as server:
        yield server


def lab_in(folder: Path, ollama: OllamaServer, gemini: GeminiServer, **more: str) -> Lab:
    """A laboratory with both providers; `more` are variables of its environment."""
    knowledge = ROOT / "eval_data" / "knowledge.md"
    (folder / "config.yaml").write_text(CONFIG.replace("KNOWLEDGE", str(knowledge)))
    variables = {
        "OLLAMA_HOST": ollama.url,
        "GEMINI_API_KEY": SECRET,
        "GOOGLE_GEMINI_BASE_URL": gemini.url,
    }
    return Lab(folder, variables | more)


@pytest.fixture(scope="session")
def lab(
    tmp_path_factory: pytest.TempPathFactory, ollama: OllamaServer, gemini: GeminiServer
) -> Lab:
    return lab_in(tmp_path_factory.mktemp("lab"), ollama, gemini)


@pytest.fixture(scope="session")
def asked() -> Counter[str]:
    """How often the main job asked each model of Ollama."""
    return Counter()


@pytest.fixture(scope="session")
def fence(lab: Lab, ollama: OllamaServer, gemini: GeminiServer) -> dict[str, str]:
    """Variables with which a process reaches both providers alone, and notes what it tries."""
    allowed = ",".join(urlsplit(server.url).netloc for server in (ollama, gemini))
    log = str(lab.folder / "reached.txt")
    return {"PYTHONPATH": str(FENCE), "FENCE_ALLOWED": allowed, "FENCE_LOG": log}


@pytest.fixture(scope="session")
def main_job(lab: Lab, ollama: OllamaServer, asked: Counter[str], fence: dict[str, str]) -> str:
    """What `mlflow run . -e main` printed; it succeeded, within the fence."""
    done = Lab(lab.folder, lab.variables | fence).mlflow_run("main", limit="40")
    assert done.returncode == 0, done.stdout + done.stderr
    asked.update(seen.body["model"] for seen in ollama.requests if seen.path == "/api/chat")
    return done.stdout


@pytest.fixture(scope="session")
def store(main_job: str, lab: Lab) -> Path:
    """The store that the main job filled."""
    return lab.folder / "mlflow.db"
