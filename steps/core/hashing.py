"""Canonical hashes: the same content gives the same sha256, whatever its order or format."""

import hashlib
import json
from pathlib import Path
from typing import Any


def canonical(value: Any) -> str:
    """Compact JSON with sorted keys; floats as Python writes them."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def sha256_of(value: Any) -> str:
    """Hex sha256 of the canonical JSON of plain data."""
    return hashlib.sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()


def sha256_of_files(paths: list[Path]) -> str:
    """Hex sha256 over names and bytes of files, in the order of their names."""
    parts = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    return sha256_of(parts)
