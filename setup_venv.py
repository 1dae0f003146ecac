"""Make .venv from requirements.txt; quick when nothing changed, safe to start twice at once.

Another folder and file can be named. Standard library only: it runs before anything is installed.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

SUPPORTED = ("3.12", "3.11")
ROOT = Path(__file__).resolve().parent
MAIN = ".venv"


def main(folder: str = MAIN, requirements: str = "requirements.txt") -> None:
    venv, listed = ROOT / folder, ROOT / requirements
    with (ROOT / f"{folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second `make` waits here and finds the work done
        stamp, wanted = venv / "llmflowlab-stamp", hashlib.sha256(listed.read_bytes()).hexdigest()
        if not stamp.exists() or stamp.read_text() != wanted:
            install(find_python(), venv, listed)
            stamp.write_text(wanted)
        if folder == MAIN:
            make_store(venv)


def find_python() -> str:
    """Path of a supported interpreter: this one, else one found by name."""
    if "{}.{}".format(*sys.version_info[:2]) in SUPPORTED:
        return sys.executable
    for version in SUPPORTED:
        found = shutil.which(f"python{version}")
        if found and subprocess.run([found, "-c", ""], check=False).returncode == 0:
            return found
    here = "{}.{}".format(*sys.version_info[:2])
    sys.exit(
        f"Python {here} is not supported: fasttext-wheel has wheels for {' and '.join(SUPPORTED)} "
        "only. Install one of these (it may stand beside the other) and run the command again."
    )


def install(python: str, venv: Path, listed: Path) -> None:
    print(f"Installing into {venv.name} with {python} (once, about a minute) …", flush=True)
    shutil.rmtree(venv, ignore_errors=True)
    run(python, "-m", "venv", str(venv))
    pip = [str(venv / "bin" / "python"), "-m", "pip"]
    pinned = [line for line in listed.read_text().splitlines() if line.startswith("uv==")]
    run(*pip, "install", "--quiet", "--disable-pip-version-check", *pinned)
    uv = [str(venv / "bin" / "uv"), "pip", "install", "--quiet", "--compile-bytecode"]
    target = ["--python", str(venv / "bin" / "python"), "-r", str(listed)]
    if subprocess.run([*uv, *target], check=False).returncode != 0:
        print("uv could not install (it does not read pip's settings); trying pip …", flush=True)
        run(*pip, "install", "--quiet", "-r", str(listed))


def make_store(venv: Path) -> None:
    """Create the default database here, under the lock: MLflow's migration must not run twice."""
    uri = f"sqlite:///{ROOT / 'mlflow.db'}"
    if os.environ.get("MLFLOW_TRACKING_URI", uri) == uri and not (ROOT / "mlflow.db").exists():
        run(str(venv / "bin" / "mlflow"), "db", "upgrade", uri)


def run(*command: str) -> None:
    environment = os.environ | {"PYTHONNOUSERSITE": "1"}
    done = subprocess.run(command, env=environment, check=False, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(
            f"{done.stderr}\nThis failed: {' '.join(command)}\n"
            "If the message speaks of ensurepip, install your system's venv package "
            "(Debian: python3-venv)."
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
