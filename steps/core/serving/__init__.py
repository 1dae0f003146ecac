"""What `serve` puts round a packed model; see worker.py for whose `llm_models` is imported."""
